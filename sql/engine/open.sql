-- Requests to be sent now, by shard.
-- reads: standing
SELECT shard, request_id, ceiling
FROM standing
WHERE state IN ('packed', 'retryable')
ORDER BY shard, request_id
