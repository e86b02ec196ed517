-- What the judge is asked: only the traces about which the free check is in doubt.
-- reads: checks, verified
SELECT c.row_key, v.question, v.reference_answer, c.final_answer AS candidate_answer
FROM checks AS c
JOIN verified AS v ON v.row_key = c.problem_key
WHERE c.doubt
ORDER BY v.subject, v.topic, c.row_key
