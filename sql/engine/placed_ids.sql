-- Each wanted request of the stage once, with the shard that holds it.
-- reads: asked, members
SELECT w.request_id, m.shard, w.ceiling
FROM (SELECT request_id, max(ceiling) AS ceiling FROM asked GROUP BY request_id) AS w
LEFT JOIN members AS m ON m.request_id = w.request_id
