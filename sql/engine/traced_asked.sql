-- Requests by the keys of their rows.
-- reads: asked
-- $keys: list of row keys
SELECT row_key, sample, request_id, row FROM asked WHERE row_key IN (SELECT unnest($keys)) ORDER BY position
