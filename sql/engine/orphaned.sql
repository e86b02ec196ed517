-- Requests that the stage sent and that no row of it asks for any more.
-- reads: sent, asked
SELECT count(DISTINCT request_id) AS orphaned
FROM sent
WHERE request_id NOT IN (SELECT request_id FROM asked)
