-- The requests of a shard that is being packed.
-- reads: fresh_packed
-- $shard: its id
SELECT $shard AS shard, request_id, input_tokens, input_bound FROM fresh_packed
