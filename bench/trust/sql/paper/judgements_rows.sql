-- The judge sees every trace's whole text beside the reference answer.
-- reads: solutions, verified
SELECT
    s.row_key,
    v.question,
    'the whole answer' AS part,
    v.reference_answer,
    s.text AS candidate_answer
FROM solutions AS s
JOIN verified AS v ON v.row_key = s.problem_key
ORDER BY s.row_key
