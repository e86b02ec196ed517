-- A row by its index.
-- reads: traced
-- $index: the row's number
SELECT * FROM traced WHERE index = $index
