-- The rows that a round gains, in the order of its rows query.
-- reads: fresh_rows, fresh_keys
SELECT fresh_rows.* FROM fresh_rows WHERE row_key IN (SELECT row_key FROM fresh_keys)
