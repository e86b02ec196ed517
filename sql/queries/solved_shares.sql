-- How many problems were solved in which share of the tries that were decided, by subject; a share is rounded down to
-- tenths.
-- reads: difficulty
SELECT
    subject,
    floor(10 * correct / n) / 10 AS solved_share,
    count(*) AS problems
FROM difficulty
WHERE n > 0
GROUP BY ALL
ORDER BY subject, solved_share
