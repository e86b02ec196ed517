-- For the card: which rows are for what.
-- reads: dataset
SELECT split, use, reference, count(*) AS rows, count(DISTINCT problem_key) AS problems
FROM dataset
GROUP BY ALL
ORDER BY split DESC, rows DESC, use, reference
