-- What requests of the stage that were heard of took: one row for each asking, the requests with the smallest ids first.
-- sampled: every request with a smaller id was heard of too, so these are a random sample of the stage (ids are digests).
-- pending: it is asked once more, with output ceiling `room`; tried: the ceiling that its answer was cut at, else 0.
-- reads: asked, standing, history, landed
-- $most: how many requests at most
WITH unheard AS (SELECT min(request_id) AS first FROM standing WHERE last = ''),
heard AS (
    SELECT s.request_id, s.state, s.ceiling, if(s.last = 'truncated', h.last_ceiling, 0) AS tried
    FROM (SELECT * FROM standing WHERE last <> '' ORDER BY request_id LIMIT $most) AS s
    LEFT JOIN history AS h ON h.request_id = s.request_id
),
counted AS (
    SELECT request_id, any_value(input_tokens) AS input_tokens
    FROM asked
    WHERE request_id IN (SELECT request_id FROM heard)
    GROUP BY request_id
)
SELECT
    h.request_id,
    coalesce(h.request_id < u.first, true) AS sampled,
    h.state = 'answered' AS ok,
    h.state NOT IN ('answered', 'given_up') AS pending,
    h.tried,
    h.ceiling AS room,
    c.input_tokens AS counted,
    l.outcome = 'truncated' AS truncated,
    l.input_tokens,
    l.cached_tokens,
    l.cache_write_tokens,
    l.cache_write_long_tokens,
    l.output_tokens
FROM heard AS h
CROSS JOIN unheard AS u
JOIN counted AS c ON c.request_id = h.request_id
JOIN landed AS l ON l.request_id = h.request_id
ORDER BY h.request_id, l.attempt
