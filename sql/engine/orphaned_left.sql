-- Answers of hosts that the stage has left, which no row of it asks for any more.
-- reads: sent_left, asked
SELECT count(DISTINCT request_id) AS orphaned
FROM sent_left
WHERE outcome = 'ok' AND request_id NOT IN (SELECT request_id FROM asked)
