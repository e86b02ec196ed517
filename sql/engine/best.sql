-- The answer that stands for each request: the first ok one, else the last word. Only requests that were answered more
-- than once are compared: to sort all texts for the sake of a few takes several times as long. Of a whole shard, whose
-- first attempt has one row for every id, those are the ones that a later attempt asked.
-- reads: landed, whole_shards
WITH again AS (
    SELECT l.request_id
    FROM landed AS l
    LEFT JOIN whole_shards AS w ON w.shard = l.shard
    WHERE l.attempt > 1 OR w.shard IS NULL
    GROUP BY l.request_id
    HAVING count(*) > 1 OR bool_or(w.shard IS NOT NULL)
)
SELECT *
FROM landed
WHERE request_id NOT IN (SELECT request_id FROM again)
UNION ALL BY NAME
SELECT *
FROM landed
WHERE request_id IN (SELECT request_id FROM again)
QUALIFY row_number() OVER (
    PARTITION BY request_id
    ORDER BY outcome = 'ok' DESC, if(outcome = 'ok', attempt, -attempt), shard
) = 1
