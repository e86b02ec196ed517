-- The exported table as it is.
-- reads: dataset
SELECT * FROM dataset
