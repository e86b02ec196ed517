-- The rows of a person's JSON or JSON-lines files, in the order of the files.
-- Text stays text: the formats that match nothing keep "2024-01-01" from becoming a date.
-- reads: nothing
-- $key: the row key, a column or the file's name and a number
-- $files: where they lie
SELECT $key AS row_key, COLUMNS(lambda name: name NOT IN ('row_key', '_file'))
FROM read_json(
    $files, union_by_name = true, sample_size = -1, maximum_object_size = 67108864, filename = '_file',
    dateformat = 'none', timestampformat = 'none'
)
