-- The answer that stands for each request: the first ok one, else the last word.
-- reads: landed
SELECT *
FROM landed
QUALIFY row_number() OVER (
    PARTITION BY request_id
    ORDER BY outcome = 'ok' DESC, if(outcome = 'ok', attempt, -attempt), shard
) = 1
