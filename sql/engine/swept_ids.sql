-- The ids of all rows that come of a line, in one list: much faster to read than a row each.
-- reads: swept
SELECT list(request_id) FROM swept WHERE line IS NOT NULL
