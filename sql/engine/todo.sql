-- Requests that no shard of the realm holds yet, each once: those of the sample first, then in the order in which they
-- were asked.
-- reads: asked, placed_ids
-- $upto: the last id that is wanted
-- $sample: the last id of the sample
WITH first_asked AS (
    SELECT
        request_id,
        min(round::BIGINT * 1_000_000_000_000 + position) AS first,
        any_value(input_tokens) AS input_tokens,
        max(input_bound) AS input_bound
    FROM asked
    WHERE request_id <= $upto AND request_id IN (SELECT request_id FROM placed_ids WHERE shard IS NULL)
    GROUP BY request_id
)
SELECT
    (row_number() OVER (ORDER BY request_id > $sample, first) - 1)::BIGINT AS place,
    (first // 1_000_000_000_000)::INTEGER AS round,
    first % 1_000_000_000_000 AS position,
    request_id,
    input_tokens,
    input_bound
FROM first_asked
ORDER BY place
