-- Every try of every model, under the model's name in this manifest. A third model is a third stage and a third line.
-- reads: base_answers, tuned_answers, verified
WITH every AS (
    SELECT 'base' AS solver, * FROM base_answers
    UNION ALL BY NAME
    SELECT 'tuned' AS solver, * FROM tuned_answers
)
SELECT e.* REPLACE (e.solver || '/' || e.row_key AS row_key), v.benchmark, v.answer_kind
FROM every AS e
JOIN verified AS v ON v.row_key = e.problem_key
ORDER BY row_key
