-- What the first verifier is asked: every candidate, without its writer's solution.
-- reads: candidates
SELECT row_key, subject, topic, question, reference_answer AS proposed_answer, answer_kind
FROM candidates
ORDER BY subject, topic, row_key
