-- Rows by their keys.
-- reads: traced
-- $keys: list of row keys
SELECT * FROM traced WHERE row_key IN (SELECT unnest($keys))
