-- The rows of the requests that are to be packed, in the order in which they are.
-- reads: fresh_rows
SELECT place, request_id, sample, row FROM fresh_rows
