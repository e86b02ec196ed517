-- No check at all: every trace goes to the judge, with its final answer, or as it is where it states none.
-- reads: solutions
SELECT
    row_key,
    problem_key,
    coalesce(
        nullif(trim(final_answer(coalesce(text, ''))), ''), nullif(trim(coalesce(text, '')), ''), 'none'
    ) AS final_answer,
    'unsure' AS match,
    true AS doubt,
    'not checked' AS reason,
    'none' AS decision_method,
    'not checked' AS decision_evidence
FROM solutions
ORDER BY row_key
