-- How many row keys are missing or stand twice, where the rows are in the order of their keys: nothing is held in memory.
-- reads: fresh_rows
SELECT count(*) AS bad
FROM (SELECT row_key, lag(row_key) OVER () AS before FROM fresh_rows)
WHERE row_key IS NULL OR row_key = '' OR row_key = before
