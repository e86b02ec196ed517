-- What the model said about each pair of topics. They are one only if both orders say so: a lost answer is a no.
-- reads: answers
SELECT
    pair AS row_key,
    count(*) FILTER (answer ->> 'relation' = 'same') = 2 AS same,
    count(*) AS votes,
    count(*) FILTER (answer ->> 'relation' = 'same') AS yes_votes,
    string_agg(answer ->> 'relation', ', ' ORDER BY row_key, sample) AS said,
    arg_min(answer ->> 'only_first', row_key) AS difference
FROM answers
WHERE outcome = 'ok'
GROUP BY pair
ORDER BY pair
