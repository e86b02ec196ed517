-- The rows of a person's CSV files, in the order of the files. Every column is text: an answer 033 is not 33.
-- reads: nothing
-- $key: the row key, a column or the file's name and a number
-- $files: where they lie
SELECT $key AS row_key, COLUMNS(lambda name: name NOT IN ('row_key', '_file'))
FROM read_csv($files, header = true, all_varchar = true, union_by_name = true, filename = '_file')
