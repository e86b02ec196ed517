-- The shards that hold a request of a round's rows, as a model is asked that the stage has left.
-- reads: members, ids_at_left
-- $rank: of the model
SELECT DISTINCT shard
FROM members
WHERE request_id IN (SELECT unnest(string_split(ids, ' ')) FROM ids_at_left WHERE rank = $rank)
