-- How many survive each step, by subject and in all; made like the shipped query of this name.
-- part: of the step before.
-- reads: drafts, candidates, verdicts, dataset
WITH counted AS (
    SELECT 1 AS step, 'judged' AS what, subject, count(*) AS rows FROM drafts GROUP BY subject
    UNION ALL
    SELECT 2, 'worth keeping', subject, count(*) FROM candidates GROUP BY subject
    UNION ALL
    SELECT 3, 'second opinion agrees', c.subject, count(*)
    FROM candidates AS c
    JOIN verdicts AS v ON v.row_key = c.row_key AND v.kept
    GROUP BY c.subject
    UNION ALL
    SELECT 4, 'topics in the data set', subject, count(DISTINCT topic) FROM dataset GROUP BY subject
    UNION ALL
    SELECT 5, 'in the data set', subject, count(*) FROM dataset GROUP BY subject
),
summed AS (
    SELECT step, what, coalesce(subject, 'all') AS subject, sum(rows)::BIGINT AS rows
    FROM counted
    GROUP BY GROUPING SETS ((step, what, subject), (step, what))
)
SELECT subject, step, what, rows,
    round(rows / nullif(lag(rows) OVER (PARTITION BY subject ORDER BY step), 0), 3) AS part
FROM summed
ORDER BY subject <> 'all', subject, step
