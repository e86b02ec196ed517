-- What the solver is asked: the bare problem, nothing of what is known about its answer.
-- reads: verified
SELECT row_key, question
FROM verified
ORDER BY subject, topic, row_key
