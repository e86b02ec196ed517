-- Each model against the base model: pass@k over the questions that both have tries of, benchmark by benchmark.
-- pass@k is the unbiased estimate from n tries; low and high hold 95 % of 1,000 bootstrap resamples of the questions.
-- The difference is paired, question by question, and its interval is that of the paired differences: it is narrower
-- than the two others suggest, because a question that is hard for one model is hard for the other.
-- verdict: better or worse where the interval leaves out 0, else no difference seen.
-- reads: scores
-- $base: the model that the others are held against
-- $ks: for which k; those above the number of tries are left out
WITH passed AS (
    SELECT s.solver, s.benchmark, s.problem_key, k, pass_at_k(s.n, s.correct, k) AS pass
    FROM scores AS s, (SELECT unnest($ks)::BIGINT AS k)
),
paired AS (
    SELECT t.solver, t.benchmark, t.k, b.pass AS base_pass, t.pass, t.pass - b.pass AS difference
    FROM passed AS t
    JOIN passed AS b ON b.problem_key = t.problem_key AND b.k = t.k AND b.solver = $base
    WHERE t.solver <> $base AND t.pass IS NOT NULL AND b.pass IS NOT NULL
),
summed AS (
    SELECT
        solver,
        benchmark,
        k,
        count(*) AS questions,
        avg(base_pass) AS base_pass,
        bootstrap_interval(list(base_pass)) AS base_interval,
        avg(pass) AS pass,
        bootstrap_interval(list(pass)) AS pass_interval,
        avg(difference) AS difference,
        bootstrap_interval(list(difference)) AS interval
    FROM paired
    GROUP BY solver, benchmark, k
)
SELECT
    concat_ws('/', benchmark, solver, lpad(k::VARCHAR, 3, '0')) AS row_key,
    benchmark,
    solver,
    k,
    questions,
    round(base_pass, 4) AS base_pass,
    round(base_interval.low, 4) AS base_low,
    round(base_interval.high, 4) AS base_high,
    round(pass, 4) AS pass,
    round(pass_interval.low, 4) AS pass_low,
    round(pass_interval.high, 4) AS pass_high,
    round(difference, 4) AS difference,
    round(interval.low, 4) AS difference_low,
    round(interval.high, 4) AS difference_high,
    CASE
        WHEN interval.low > 0 THEN 'better'
        WHEN interval.high < 0 THEN 'worse'
        ELSE 'no difference seen'
    END AS verdict
FROM summed
ORDER BY row_key
