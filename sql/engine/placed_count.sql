-- How many requests had a shard before some were added.
-- reads: placed_before
SELECT count(shard) AS placed FROM placed_before
