-- A table that is being searched for a row.
-- reads: traced
SELECT * FROM traced
