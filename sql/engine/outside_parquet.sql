-- The rows of a person's Parquet files, in the order of the files.
-- reads: nothing
-- $key: the row key, a column or the file's name and a number
-- $files: where they lie
SELECT $key AS row_key, COLUMNS(lambda name: name NOT IN ('row_key', '_file'))
FROM read_parquet($files, union_by_name = true, hive_partitioning = false, filename = '_file')
