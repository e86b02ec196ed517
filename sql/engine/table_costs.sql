-- What was billed, by stage, model, window (within) and outcome. again: for requests that the run had asked before.
-- reads: charged
WITH asked AS (
    SELECT *, dense_rank() OVER (PARTITION BY realm, request_id ORDER BY attempt) > 1 AS again FROM charged
)
SELECT
    stage,
    provider,
    model,
    outcome,
    count(*) AS requests,
    sum(input_tokens)::BIGINT AS input_tokens,
    sum(cached_tokens)::BIGINT AS cached_tokens,
    sum(output_tokens)::BIGINT AS output_tokens,
    sum(reasoning_tokens)::BIGINT AS reasoning_tokens,
    sum(usd)::DECIMAL(24, 12) AS usd,
    within,
    again,
    sum(cache_write_tokens)::BIGINT AS cache_write_tokens
FROM asked
GROUP BY stage, provider, model, outcome, within, again
ORDER BY ALL
