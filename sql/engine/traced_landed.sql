-- Every result of one request.
-- reads: landed
-- $request_id: its id
SELECT shard, attempt, outcome, code, message, finish, model, input_tokens, cached_tokens, output_tokens,
    reasoning_tokens, usd, raw, line
FROM landed
WHERE request_id = $request_id
ORDER BY attempt
