-- Requests that a host holds which the stage has left, as members of its shards; but for those that the host holds which
-- it asks now.
-- reads: picked, members
SELECT shard, request_id, 0::INTEGER AS input_tokens, 0::INTEGER AS input_bound
FROM picked
WHERE request_id NOT IN (SELECT request_id FROM members)
