-- The requests that are to be packed, in their order, and where their lines are: at the same place.
-- reads: fresh_todo
SELECT place, request_id, input_tokens FROM fresh_todo
