-- What came of the requests that were sent with a cache mark: how many results, and their tokens.
-- reads: landed, marked
SELECT
    count(*) AS results,
    coalesce(sum(l.input_tokens), 0)::BIGINT AS input_tokens,
    coalesce(sum(l.cached_tokens), 0)::BIGINT AS cached_tokens,
    coalesce(sum(l.cache_write_tokens), 0)::BIGINT AS cache_write_tokens,
    coalesce(sum(l.cache_write_long_tokens), 0)::BIGINT AS cache_write_long_tokens
FROM landed AS l
JOIN marked AS m ON m.shard = l.shard AND m.attempt = l.attempt
