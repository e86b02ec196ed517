-- Every result that counts for the stage: of the host that it asks now, and what stands of those that it has left.
-- reads: landed_here, landed_left, picked
SELECT * FROM landed_here WHERE request_id NOT IN (SELECT request_id FROM picked)
UNION ALL BY NAME
SELECT l.* REPLACE (p.shard AS shard)
FROM landed_left AS l
JOIN picked AS p ON p.request_id = l.request_id AND p.realm = coalesce(split_part(l.raw, '/', 2), p.realm)
