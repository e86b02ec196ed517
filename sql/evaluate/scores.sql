-- Per model and question: how many tries were decided (n), and how many of them were right.
-- reads: graded
SELECT
    solver || '/' || problem_key AS row_key,
    solver,
    benchmark,
    problem_key,
    count(correct) AS n,
    count(*) FILTER (correct) AS correct,
    count(*) FILTER (correct IS NULL) AS undecided
FROM graded
GROUP BY solver, benchmark, problem_key
ORDER BY row_key
