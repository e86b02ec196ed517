-- What the second verifier is asked: every candidate, whatever the first one says.
-- reads: candidates
SELECT row_key, subject, topic, question, reference_answer AS proposed_answer, answer_kind
FROM candidates
ORDER BY subject, topic, row_key
