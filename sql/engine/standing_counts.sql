-- The stage's standing, counted, by shard.
-- reads: standing
SELECT state, if(state = 'answered', 'ok', last) AS outcome, shard, count(*) AS requests
FROM standing
GROUP BY ALL
