-- The requests of a shard that is being packed.
-- reads: fresh_todo
-- $shard: its id
-- $first: its first request
-- $end: the first one behind it
SELECT $shard AS shard, request_id, input_tokens, input_bound
FROM fresh_todo
WHERE place >= $first AND place < $end
