-- What was paid, by stage and model, with what a request and a usable answer came to; the last row is the sum.
-- reads: costs
SELECT
    coalesce(stage, 'all') AS stage,
    model,
    sum(requests)::BIGINT AS requests,
    (sum(requests) FILTER (outcome = 'ok'))::BIGINT AS ok,
    sum(input_tokens)::BIGINT AS input_tokens,
    sum(cached_tokens)::BIGINT AS cached_tokens,
    sum(output_tokens)::BIGINT AS output_tokens,
    sum(usd) AS usd,
    round(sum(output_tokens) / nullif(sum(requests), 0), 1) AS output_tokens_per_request,
    round(sum(usd)::DOUBLE / nullif(sum(requests) FILTER (outcome = 'ok'), 0) * 1000, 4) AS usd_per_1000_ok,
    coalesce(sum(usd) FILTER (outcome <> 'ok'), 0) AS usd_for_nothing
FROM costs
GROUP BY GROUPING SETS ((stage, model), ())
ORDER BY costs.stage IS NULL, costs.stage, model
