-- The stage's standing where the host takes no small batch: what is open of a shard of which nothing is under way is
-- given up when it is too little.
-- reads: standing
-- $least: requests of a batch at least
WITH of_shard AS (
    SELECT
        shard,
        count(*) FILTER (state = 'in_flight') AS flying,
        count(*) FILTER (state IN ('packed', 'retryable')) AS open
    FROM standing
    GROUP BY shard
)
SELECT
    s.* REPLACE (
        if(s.state IN ('packed', 'retryable') AND o.flying = 0 AND o.open < $least, 'given_up', s.state) AS state
    )
FROM standing AS s
JOIN of_shard AS o ON o.shard IS NOT DISTINCT FROM s.shard
