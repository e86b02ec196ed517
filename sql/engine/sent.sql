-- The requests of an attempt with their output ceilings.
-- reads: sent
SELECT request_id, ceiling FROM sent
