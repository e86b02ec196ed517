-- Shards with requests to be sent now.
-- reads: standing
SELECT DISTINCT shard FROM standing WHERE state IN ('packed', 'retryable')
