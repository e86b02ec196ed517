-- The ids that were sent and of which there is no line, in one list: nearly always few.
-- reads: sent, swept
SELECT list(request_id)
FROM sent
WHERE request_id NOT IN (SELECT request_id FROM swept WHERE line IS NOT NULL)
