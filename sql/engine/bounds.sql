-- How long some of a shard's requests can be at most, in tokens.
-- reads: fresh_members
-- $ids: which
SELECT request_id, input_bound FROM fresh_members WHERE request_id IN (SELECT unnest($ids))
