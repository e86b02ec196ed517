-- How many requests no shard of the realm holds yet.
-- reads: asked, members
SELECT count(DISTINCT request_id) AS missing
FROM asked
WHERE request_id NOT IN (SELECT request_id FROM members)
