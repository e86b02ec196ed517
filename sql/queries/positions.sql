-- Do the judges favour a place? Every problem stands in each place once, so an even-handed judge puts each place first
-- a third of the time. chi_square: of those counts against thirds, two degrees of freedom; p: the chance of as much by
-- luck.
-- reads: points
WITH counted AS (
    SELECT
        judge,
        any_value(judge_model) AS judge_model,
        criterion,
        count(*) FILTER (points = 3) AS rankings,
        count(*) FILTER (points = 3 AND position = 1) AS first_1,
        count(*) FILTER (points = 3 AND position = 2) AS first_2,
        count(*) FILTER (points = 3 AND position = 3) AS first_3,
        avg(points) FILTER (position = 1) AS points_1,
        avg(points) FILTER (position = 2) AS points_2,
        avg(points) FILTER (position = 3) AS points_3
    FROM (SELECT * FROM points QUALIFY count(*) OVER (PARTITION BY judge, triple, criterion, problem_set) = 3)
    GROUP BY judge, criterion
),
tested AS (
    SELECT *, 3 * (first_1 ** 2 + first_2 ** 2 + first_3 ** 2) / rankings - rankings AS chi_square FROM counted
)
SELECT
    judge,
    judge_model,
    criterion,
    rankings,
    round(first_1 / rankings, 3) AS share_first_1,
    round(first_2 / rankings, 3) AS share_first_2,
    round(first_3 / rankings, 3) AS share_first_3,
    round(points_1, 3) AS points_1,
    round(points_2, 3) AS points_2,
    round(points_3, 3) AS points_3,
    round(chi_square, 2) AS chi_square,
    round(exp(-chi_square / 2), 6) AS p
FROM tested
ORDER BY judge, criterion
