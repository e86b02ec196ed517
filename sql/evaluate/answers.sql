-- One row per try of one model, also where it was cut off or refused: such a try has failed.
-- reads: answers
SELECT
    row_key || '/' || sample AS row_key,
    row_key AS problem_key,
    sample,
    outcome = 'ok' AS usable,
    text,
    reasoning,
    model AS solver_model
FROM answers
WHERE outcome IN ('ok', 'truncated', 'refused', 'invalid')
ORDER BY row_key
