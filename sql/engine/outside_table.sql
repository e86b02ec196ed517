-- A table that another run of this store made.
-- reads: nothing
-- $files: the object that holds it, on this machine
SELECT * FROM read_parquet($files, hive_partitioning = false)
