-- The ids of one attempt.
-- reads: sent
SELECT request_id FROM sent
