-- Where the rules cannot tell whether the arbiter's answer is the reference answer, the judge compares the two.
-- reads: arbitration
SELECT row_key, question, 'the whole answer' AS part, reference_answer, own_answer AS candidate_answer
FROM arbitration
WHERE match = 'unsure'
ORDER BY row_key
