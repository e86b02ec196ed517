-- Per problem: how many tries were decided (n), how many of them were right, and the chance that one of k tries is,
-- without bias (NULL where there were fewer than k).
-- reads: graded, verified
WITH counted AS (
    SELECT
        v.row_key,
        v.subject,
        v.topic,
        v.reference,
        count(g.correct) AS n,
        count(*) FILTER (g.correct) AS correct,
        count(g.row_key) - count(g.correct) AS undecided
    FROM verified AS v
    LEFT JOIN graded AS g ON g.problem_key = v.row_key
    GROUP BY ALL
)
SELECT
    *,
    pass_at_k(n, correct, 1) AS pass_1,
    pass_at_k(n, correct, 2) AS pass_2,
    pass_at_k(n, correct, 4) AS pass_4,
    pass_at_k(n, correct, 8) AS pass_8
FROM counted
ORDER BY row_key
