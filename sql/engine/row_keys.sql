-- The first row key that is missing or not unique, if there is one.
-- reads: fresh_rows
SELECT row_key, count(*) AS times
FROM fresh_rows
GROUP BY row_key
HAVING count(*) > 1 OR row_key IS NULL OR row_key = ''
ORDER BY row_key NULLS FIRST
LIMIT 1
