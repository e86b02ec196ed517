-- The requests that are to be packed, in their order.
-- reads: fresh_todo
SELECT place, round, position, request_id, input_tokens FROM fresh_todo
