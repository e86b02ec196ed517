-- The rows that a round gains, each led by its place behind those that it had.
-- reads: fresh_rows
-- $first: how many rows it had
SELECT $first::BIGINT + row_number() OVER () - 1 AS __place, fresh_rows.* FROM fresh_rows
