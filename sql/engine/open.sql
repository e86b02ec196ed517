-- Requests of one shard to be sent now, with their output ceilings.
-- reads: standing
-- $shard: its id
SELECT request_id, ceiling
FROM standing
WHERE state IN ('packed', 'retryable') AND shard = $shard
