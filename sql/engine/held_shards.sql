-- The shards that hold any wanted request of the stage.
-- reads: placed_ids
SELECT DISTINCT shard FROM placed_ids WHERE shard IS NOT NULL
