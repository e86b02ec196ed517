-- What the writer is asked: the raw texts as they stand.
-- reads: texts
SELECT row_key, text AS source
FROM texts
WHERE trim(text) <> ''
ORDER BY row_key
