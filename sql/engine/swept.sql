-- What the rows of one attempt are, by outcome: how many, how many of them come of a line, the ids of these in one text
-- with spaces between, and what all add up to. Without tokens of input and output a row has no usage.
-- reads: swept
SELECT
    outcome,
    count(*) AS requests,
    count(line) AS found,
    coalesce(string_agg(request_id, ' ') FILTER (line IS NOT NULL), '') AS ids,
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
