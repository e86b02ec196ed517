-- How many rows and requests a wave asks.
-- reads: drawn
SELECT count(DISTINCT row_key) AS rows, count(*) AS requests FROM drawn
