-- The shards that hold a request of the stage.
-- reads: members, asked
SELECT DISTINCT shard FROM members WHERE request_id IN (SELECT request_id FROM asked)
