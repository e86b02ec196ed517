-- What the run's attempts of one realm were billed for, request by request, without the texts.
-- reads: landed, attempts
-- $realm: the realm
SELECT
    a.realm,
    a.stage,
    a.provider,
    -- a result without an answer names no model: it is counted with the others of its batch
    coalesce(l.model, max(l.model) OVER (PARTITION BY l.shard, l.attempt), a.model) AS model,
    a.within,
    l.shard,
    l.attempt,
    l.request_id,
    l.outcome,
    l.finish,
    l.code,
    l.message,
    l.input_tokens,
    l.cached_tokens,
    l.cache_write_tokens + l.cache_write_long_tokens AS cache_write_tokens,
    l.output_tokens,
    l.reasoning_tokens,
    l.usd
FROM landed AS l
JOIN attempts AS a ON a.shard = l.shard AND a.attempt = l.attempt AND a.realm = $realm
