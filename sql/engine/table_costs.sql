-- What was billed, by stage, model and outcome.
-- reads: landed, attempts
SELECT
    a.stage,
    a.provider,
    coalesce(l.model, a.model) AS model,
    l.outcome,
    count(*) AS requests,
    sum(l.input_tokens)::BIGINT AS input_tokens,
    sum(l.cached_tokens)::BIGINT AS cached_tokens,
    sum(l.output_tokens)::BIGINT AS output_tokens,
    sum(l.reasoning_tokens)::BIGINT AS reasoning_tokens,
    sum(l.usd)::DECIMAL(24, 12) AS usd
FROM landed AS l
JOIN attempts AS a ON a.shard = l.shard AND a.attempt = l.attempt
GROUP BY a.stage, a.provider, coalesce(l.model, a.model), l.outcome
ORDER BY ALL
