-- Each wanted request of the stage with the shard that holds it, once some shards are added and none held any before.
-- reads: placed_before, fresh_members
SELECT p.request_id, m.shard, p.ceiling
FROM placed_before AS p
LEFT JOIN fresh_members AS m ON m.request_id = p.request_id
