-- The requests of a shard that is being packed.
-- reads: fresh_members
SELECT shard, request_id, input_tokens, input_bound FROM fresh_members
