-- How many survive each step, by subject and in all: from topics named to traces labelled correct.
-- part: of the step before; above 1 where more drafts were rewritten into what can be checked than fell.
-- reads: topics, taxonomy, problems, candidates, verdict_a, verified, dataset
WITH counted AS (
    SELECT 1 AS step, 'topics named' AS what, subject, count(*) AS rows FROM topics GROUP BY subject
    UNION ALL
    SELECT 2, 'topics kept', subject, count(*) FROM taxonomy GROUP BY subject
    UNION ALL
    SELECT 3, 'problems drafted', subject, count(*) FROM problems GROUP BY subject
    UNION ALL
    SELECT 4, 'passed the free checks, rewritten drafts too', subject, count(*) FROM candidates GROUP BY subject
    UNION ALL
    SELECT 5, 'not rejected outright by verifier a', c.subject, count(*)
    FROM candidates AS c
    JOIN verdict_a AS a ON a.row_key = c.row_key AND (a.kept OR a.objection = 'answer')
    GROUP BY c.subject
    UNION ALL
    SELECT 6, 'kept by both verifiers, or contested', subject, count(*) FROM verified GROUP BY subject
    UNION ALL
    SELECT 7, 'problems in the data set', subject, count(DISTINCT problem_key) FROM dataset GROUP BY subject
    UNION ALL
    SELECT 8, 'with a reference that is verified', subject, count(DISTINCT problem_key)
    FROM dataset
    WHERE reference = 'verified'
    GROUP BY subject
    UNION ALL
    SELECT 9, 'with a correct trace', subject, count(DISTINCT problem_key)
    FROM dataset
    WHERE correctness
    GROUP BY subject
),
summed AS (
    SELECT step, what, coalesce(subject, 'all') AS subject, sum(rows)::BIGINT AS rows
    FROM counted
    GROUP BY GROUPING SETS ((step, what, subject), (step, what))
)
SELECT
    subject,
    step,
    what,
    rows,
    -- problems are not a part of topics: there the column stays empty
    if(step IN (1, 3), NULL, round(rows / nullif(lag(rows) OVER (PARTITION BY subject ORDER BY step), 0), 3)) AS part
FROM summed
ORDER BY subject <> 'all', subject, step
