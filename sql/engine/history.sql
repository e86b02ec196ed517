-- What became of each request of the stage so far, over all its attempts.
-- reads: asked, landed, forgiven
WITH wanted AS (SELECT request_id, max(ceiling) AS wanted_ceiling FROM asked GROUP BY request_id),
heard AS (
    SELECT l.request_id, l.outcome, l.transient, l.ceiling, l.attempt
    FROM landed AS l
    LEFT JOIN forgiven AS f ON f.shard = l.shard AND f.attempt = l.attempt
    WHERE l.outcome = 'ok' OR f.shard IS NULL
)
SELECT
    w.request_id,
    w.wanted_ceiling,
    bool_or(h.outcome = 'ok') AS ok,
    arg_max(h.outcome, h.attempt) AS last,
    arg_max(h.transient, h.attempt) AS last_transient,
    arg_max(h.ceiling, h.attempt) AS last_ceiling,
    count(*) FILTER (h.outcome = 'truncated') AS truncated,
    count(*) FILTER (h.outcome = 'refused') AS refused,
    count(*) FILTER (h.outcome = 'invalid') AS invalid,
    count(*) FILTER (h.outcome = 'error' AND NOT h.transient) AS error,
    count(*) FILTER (h.outcome = 'error' AND h.transient) AS transient,
    count(*) FILTER (h.outcome = 'expired') AS expired,
    count(*) FILTER (h.outcome = 'cancelled') AS cancelled,
    count(*) FILTER (h.outcome = 'missing') AS missing
FROM wanted AS w
JOIN heard AS h ON h.request_id = w.request_id
GROUP BY w.request_id, w.wanted_ceiling
