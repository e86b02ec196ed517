-- What was paid, by stage and model, with what a request and a usable answer came to; the last row is the sum.
-- reads: costs
SELECT
    coalesce(stage, 'all') AS stage,
    model,
    coalesce(sum(requests), 0)::BIGINT AS requests,
    coalesce(sum(requests) FILTER (outcome = 'ok'), 0)::BIGINT AS ok,
    coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens,
    coalesce(sum(cached_tokens), 0)::BIGINT AS cached_tokens,
    coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens,
    coalesce(sum(usd), 0) AS usd,
    round(sum(output_tokens) / nullif(sum(requests), 0), 1) AS output_tokens_per_request,
    round(sum(usd)::DOUBLE / nullif(sum(requests) FILTER (outcome = 'ok'), 0) * 1000, 4) AS usd_per_1000_ok,
    coalesce(sum(usd) FILTER (outcome <> 'ok'), 0) AS usd_for_nothing
FROM costs
GROUP BY GROUPING SETS ((stage, model), ())
ORDER BY costs.stage IS NULL, costs.stage, model
