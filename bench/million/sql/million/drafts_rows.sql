-- The passages, from a file.
-- reads: nothing
-- $passages: path of the Parquet file
-- $rows: how many of them are asked about
SELECT row_key, subject, topic, passage
FROM read_parquet($passages)
WHERE number <= $rows
ORDER BY number
