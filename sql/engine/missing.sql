-- How many requests no shard of the realm holds yet.
-- reads: asked, members
-- $upto: the last id that counts
SELECT count(DISTINCT request_id) AS missing
FROM asked
WHERE request_id <= $upto AND request_id NOT IN (SELECT request_id FROM members)
