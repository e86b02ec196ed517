-- The ids of one attempt in one text, with spaces between: a third of the time of a list of them.
-- reads: sent
SELECT string_agg(request_id, ' ') FROM sent
