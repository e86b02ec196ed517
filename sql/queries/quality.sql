-- How judges rank the sets of problems: mean points (3 for the best of three, 2, 1) by judge and criterion, with the
-- interval that holds 95 % of 1,000 bootstrap resamples of the triples, and how often a set came first.
-- Only triples that the judge ranked in all three orders count, so that no set gains by where it stood.
-- reads: points
WITH whole AS (
    SELECT * FROM points QUALIFY count(*) OVER (PARTITION BY judge, triple, criterion, problem_set) = 3
),
by_triple AS (
    SELECT
        judge,
        any_value(judge_model) AS judge_model,
        coalesce(criterion, 'all') AS criterion,
        problem_set,
        triple,
        avg(points) AS points,
        avg(if(points = 3, 1, 0)) AS first
    FROM whole
    GROUP BY GROUPING SETS ((judge, criterion, problem_set, triple), (judge, problem_set, triple))
)
SELECT
    judge,
    any_value(judge_model) AS judge_model,
    criterion,
    problem_set,
    count(*) AS triples,
    round(avg(points), 3) AS points,
    round(bootstrap_interval(list(points)).low, 3) AS low,
    round(bootstrap_interval(list(points)).high, 3) AS high,
    round(avg(first), 3) AS ranked_first
FROM by_triple
GROUP BY judge, criterion, problem_set
ORDER BY judge, criterion <> 'all', criterion, points DESC, problem_set
