-- What the model said about each pair of topics. They are one if it says so in both orders, and in three of four
-- answers; a lost answer is a no.
-- reads: answers
WITH told AS (
    SELECT
        pair, row_key, sample,
        CASE WHEN outcome = 'ok' THEN answer ->> 'relation' END AS relation,
        CASE WHEN outcome = 'ok' THEN answer ->> 'only_first' END AS only_first
    FROM answers
)
SELECT
    pair AS row_key,
    count(DISTINCT row_key) FILTER (relation = 'same') = 2
    AND count(*) FILTER (relation = 'same') >= 0.75 * count(*) AS same,
    count(*) AS votes,
    count(*) FILTER (relation = 'same') AS yes_votes,
    string_agg(coalesce(relation, 'nothing'), ', ' ORDER BY row_key, sample) AS said,
    min(only_first) FILTER (relation <> 'same') AS difference
FROM told
GROUP BY pair
ORDER BY pair
