-- The drafts from which a problem with one checkable answer can perhaps be made: proofs, choices, several parts.
-- reads: problems
WITH flawed AS (
    SELECT *, screen_problem(question, reference_answer) AS flaw FROM problems
)
SELECT
    row_key,
    topic_id,
    subject,
    area,
    topic,
    slot,
    focus,
    wave,
    flaw,
    question,
    reference_answer,
    original_solution
FROM flawed
WHERE flaw IN ('proof', 'multiple choice', 'multi-part', 'yes or no', 'restates the claim', 'answer in question')
ORDER BY flaw, subject, topic, row_key
