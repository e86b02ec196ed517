-- The judge's decision on each article. With several samples all votes have to call it faithful; a vote that names a
-- statement without support never does, whatever its last word.
-- reads: answers
WITH votes AS (
    SELECT
        row_key,
        sample,
        model,
        (answer -> 'unsupported')::VARCHAR[] AS unsupported,
        (answer -> 'faithful')::BOOLEAN AND json_array_length(answer -> 'unsupported') = 0 AS faithful
    FROM answers
    WHERE outcome = 'ok'
)
SELECT
    row_key,
    bool_and(faithful) AS faithful,
    count(*) AS votes,
    list_distinct(flatten(list(unsupported ORDER BY sample))) AS unsupported,
    arg_min(model, sample) AS judge_model
FROM votes
GROUP BY row_key
ORDER BY row_key
