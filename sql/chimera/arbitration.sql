-- The arbiter's own answer to each problem that it was asked. match: is it the reference answer: yes, no or unsure.
-- With several samples one that arrives at it is enough: nobody does so by chance, but anybody may slip, and what the
-- traces miss is what is worth most to learn from.
-- reads: answers
WITH votes AS (
    SELECT
        row_key,
        sample,
        model,
        question,
        reference_answer,
        (answer -> 'solvable')::BOOLEAN AS solvable,
        trim(answer ->> 'final_answer') AS own_answer
    FROM answers
    WHERE outcome = 'ok'
),
compared AS (
    SELECT
        *,
        if(
            solvable AND lower(own_answer) NOT IN ('', 'none', 'n/a', 'null'),
            answers_match(reference_answer, own_answer),
            'no'
        ) AS match
    FROM votes
)
SELECT
    row_key,
    any_value(question) AS question,
    any_value(reference_answer) AS reference_answer,
    count(*) AS votes,
    bool_or(solvable) AS solvable,
    arg_min(own_answer, (if(match = 'yes', 1, if(match = 'unsure', 2, 3)), sample)) AS own_answer,
    CASE WHEN bool_or(match = 'yes') THEN 'yes' WHEN bool_or(match = 'unsure') THEN 'unsure' ELSE 'no' END AS match,
    arg_min(model, sample) AS arbiter_model
FROM compared
GROUP BY row_key
ORDER BY row_key
