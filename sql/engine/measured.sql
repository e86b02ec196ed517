-- What settled requests of the stage took: one row for each asking, the requests with the smallest ids first.
-- sampled: no unsettled request has a smaller id, so these are a random sample of the stage (ids are digests).
-- reads: asked, standing, landed
-- $most: how many requests at most
WITH unsettled AS (
    SELECT min(request_id) AS first FROM standing WHERE state NOT IN ('answered', 'given_up')
),
settled AS (
    SELECT request_id, state FROM standing
    WHERE state IN ('answered', 'given_up')
    ORDER BY request_id
    LIMIT $most
),
counted AS (SELECT request_id, any_value(input_tokens) AS input_tokens FROM asked GROUP BY request_id)
SELECT
    s.request_id,
    coalesce(s.request_id < u.first, true) AS sampled,
    s.state = 'answered' AS ok,
    c.input_tokens AS counted,
    l.outcome = 'truncated' AS truncated,
    l.input_tokens,
    l.cached_tokens,
    l.cache_write_tokens,
    l.cache_write_long_tokens,
    l.output_tokens
FROM settled AS s
CROSS JOIN unsettled AS u
JOIN counted AS c ON c.request_id = s.request_id
JOIN landed AS l ON l.request_id = s.request_id
ORDER BY s.request_id, l.attempt
