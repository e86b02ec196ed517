-- The ids of one attempt in one list: much faster to read than a row each.
-- reads: sent
SELECT list(request_id) FROM sent
