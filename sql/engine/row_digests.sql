-- The keys of a round's rows, each with a digest of all its columns.
-- reads: fresh_rows
SELECT row_key, hash(fresh_rows) AS content FROM fresh_rows
