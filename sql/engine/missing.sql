-- How many requests no shard of the realm holds yet.
-- reads: placed_ids
-- $upto: the last id that counts
SELECT count(*) AS missing
FROM placed_ids
WHERE request_id <= $upto AND shard IS NULL
