-- One trace per problem and sample, as it came.
-- reads: answers
SELECT
    row_key || if(sample = 1, '', '-' || sample) AS row_key,
    row_key AS problem_key,
    sample,
    text,
    reasoning,
    model AS solver_model
FROM answers
WHERE outcome = 'ok'
ORDER BY row_key
