-- The requests that are to be packed, in their order, and where their lines are: at their position in their round.
-- reads: fresh_todo
SELECT position, request_id, input_tokens FROM fresh_todo
