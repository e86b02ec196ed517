-- Every try of the base model at every problem.
-- reads: base_answers, verified
SELECT a.*, 'base' AS solver, v.benchmark, v.answer_kind
FROM base_answers AS a
JOIN verified AS v ON v.row_key = a.problem_key
ORDER BY a.row_key
