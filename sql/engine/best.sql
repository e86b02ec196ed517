-- The answer that stands for each request: the first ok one, else the last word. Only requests that were answered more
-- than once are compared: to sort all texts for the sake of a few takes several times as long.
-- reads: landed
WITH again AS (SELECT request_id FROM landed GROUP BY request_id HAVING count(*) > 1)
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
