-- Every result of the run, by the row that asked for it; rows that asked for the same request share it.
-- reads: landed, keys, attempts
SELECT
    coalesce(k.stage, a.stage) AS stage,
    k.row_key,
    k.sample,
    l.request_id,
    l.outcome,
    l.shard,
    l.attempt,
    l.model,
    l.finish,
    l.code,
    l.message,
    l.input_tokens,
    l.output_tokens,
    l.reasoning_tokens,
    l.usd
FROM landed AS l
LEFT JOIN attempts AS a ON a.shard = l.shard AND a.attempt = l.attempt
LEFT JOIN keys AS k ON k.request_id = l.request_id
ORDER BY ALL
