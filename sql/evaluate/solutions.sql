-- The tries that the pipeline's grader sees: those with an answer in words or numbers. A letter needs no grader.
-- reads: tries
SELECT row_key, problem_key, sample, text, reasoning, solver_model
FROM tries
WHERE usable AND answer_kind <> 'letter'
ORDER BY row_key
