-- Requests of one shard to be sent now, by their ids, with their output ceilings and what prices them.
-- reads: standing, fresh_members
-- $shard: its id
SELECT s.request_id, s.ceiling, m.input_tokens, m.input_bound
FROM standing AS s
JOIN fresh_members AS m ON m.request_id = s.request_id
WHERE s.state IN ('packed', 'retryable') AND s.shard = $shard
ORDER BY s.request_id
