-- The stage's standing where the host takes no small batch: what is open of a shard of which nothing is under way is
-- given up when it is too little.
-- reads: standing
-- $least: requests of a batch at least
SELECT
    * REPLACE (
        if(
            state IN ('packed', 'retryable')
            AND count(*) FILTER (state = 'in_flight') OVER of_shard = 0
            AND count(*) FILTER (state IN ('packed', 'retryable')) OVER of_shard < $least,
            'given_up',
            state
        ) AS state
    )
FROM standing
WINDOW of_shard AS (PARTITION BY shard)
