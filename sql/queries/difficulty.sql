-- How hard the problems are for a base model: pass@1, 2, 4 and 8, each a mean over problems, by subject and in all,
-- with the interval that holds 95 % of 1,000 bootstrap resamples of the problems. pass@1 is the accuracy that the
-- paper reports. reference: a wrong reference answer makes a problem look hard. The rows of verified references are
-- those to believe; 'any' mixes both, as the paper does.
-- reads: difficulty
SELECT
    coalesce(subject, 'all') AS subject,
    coalesce(reference, 'any') AS reference,
    count(*) AS problems,
    sum(n)::BIGINT AS tries,
    round(avg(pass_1), 4) AS pass_1,
    round(bootstrap_interval(list(pass_1)).low, 4) AS low_1,
    round(bootstrap_interval(list(pass_1)).high, 4) AS high_1,
    round(avg(pass_2), 4) AS pass_2,
    round(bootstrap_interval(list(pass_2)).low, 4) AS low_2,
    round(bootstrap_interval(list(pass_2)).high, 4) AS high_2,
    round(avg(pass_4), 4) AS pass_4,
    round(bootstrap_interval(list(pass_4)).low, 4) AS low_4,
    round(bootstrap_interval(list(pass_4)).high, 4) AS high_4,
    round(avg(pass_8), 4) AS pass_8,
    round(bootstrap_interval(list(pass_8)).low, 4) AS low_8,
    round(bootstrap_interval(list(pass_8)).high, 4) AS high_8
FROM difficulty
GROUP BY GROUPING SETS ((subject, difficulty.reference), (subject), (difficulty.reference), ())
ORDER BY grouping(subject) DESC, subject, grouping(difficulty.reference), reference DESC
