-- Each wanted request of the stage with the shard that holds it, once some shards are added. A request that two hold is
-- told twice, as it must never be, so that the sums show it.
-- reads: placed_before, fresh_members
SELECT request_id, shard, ceiling
FROM placed_before
WHERE shard IS NOT NULL OR request_id NOT IN (SELECT request_id FROM fresh_members)
UNION ALL
SELECT p.request_id, m.shard, p.ceiling
FROM placed_before AS p
JOIN fresh_members AS m ON m.request_id = p.request_id
