-- The points that each problem of a triple got from a judge on a criterion, in one order: 3 for the best, 2, 1. A third
-- judge is a third stage and a third line. position: where the problem stood in front of the judge.
-- reads: judge_a, judge_b, triples
WITH rankings AS (
    SELECT 'a' AS judge, * FROM judge_a
    UNION ALL
    SELECT 'b' AS judge, * FROM judge_b
),
ranked AS (
    SELECT
        judge,
        judge_model,
        row_key,
        triple,
        places,
        unnest(['clarity', 'well-posedness', 'depth']) AS criterion,
        unnest([clarity, well_posedness, depth]) AS best_first
    FROM rankings
),
each AS (
    SELECT *, unnest(range(1, 4)) AS position FROM ranked
)
SELECT
    concat_ws('/', e.judge, e.row_key, e.criterion, e.position) AS row_key,
    e.judge,
    e.judge_model,
    e.criterion,
    e.triple,
    t.subject,
    t.sets[e.places[e.position]] AS problem_set,
    t.keys[e.places[e.position]] AS problem_key,
    e.position,
    (4 - list_position(e.best_first, e.position::INTEGER))::INTEGER AS points
FROM each AS e
JOIN triples AS t ON t.row_key = e.triple
ORDER BY row_key
