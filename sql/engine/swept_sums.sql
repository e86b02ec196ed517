-- What the rows of one attempt add up to, by outcome. Without tokens of input and output a row has no usage.
-- reads: swept
SELECT
    outcome,
    count(*) AS requests,
    sum(usd) AS usd,
    coalesce(sum(input_tokens) FILTER (input_tokens > 0 OR output_tokens > 0), 0)::BIGINT AS input_tokens,
    coalesce(sum(cached_tokens) FILTER (input_tokens > 0 OR output_tokens > 0), 0)::BIGINT AS cached_tokens,
    coalesce(sum(cache_write_tokens) FILTER (input_tokens > 0 OR output_tokens > 0), 0)::BIGINT AS cache_write_tokens,
    coalesce(sum(cache_write_long_tokens) FILTER (input_tokens > 0 OR output_tokens > 0), 0)::BIGINT
        AS cache_write_long_tokens,
    coalesce(sum(output_tokens) FILTER (input_tokens > 0 OR output_tokens > 0), 0)::BIGINT AS output_tokens,
    coalesce(sum(reasoning_tokens) FILTER (input_tokens > 0 OR output_tokens > 0), 0)::BIGINT AS reasoning_tokens
FROM swept
GROUP BY outcome
