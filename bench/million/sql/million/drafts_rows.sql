-- The passages, from a file that has them in order: to sort a million texts takes more memory than DuckDB is given.
-- reads: nothing
-- $passages: path of the Parquet file
-- $rows: how many of them are asked about
SELECT row_key, subject, topic, passage
FROM read_parquet($passages)
WHERE number <= $rows
