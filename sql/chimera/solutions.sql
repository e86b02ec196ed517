-- One trace per problem and sample, as it came. Not sorted here: what is larger than memory is put in order where it
-- is written.
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
