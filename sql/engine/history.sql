-- What became of the requests of the stage that are not simply answered the first time. Of a whole shard, whose first
-- attempt has a row for every id, only other rows are read: a request of it without one, or whose first row is not among
-- them, was answered at once. last: NULL where all that was heard is forgiven.
-- reads: asked, landed, forgiven, whole_shards
WITH told AS (
    SELECT l.request_id, l.outcome, l.transient, l.ceiling, l.attempt, w.shard IS NOT NULL AS whole,
        l.outcome = 'ok' OR f.shard IS NULL AS heard
    FROM landed AS l
    LEFT JOIN whole_shards AS w ON w.shard = l.shard
    LEFT JOIN forgiven AS f ON f.shard = l.shard AND f.attempt = l.attempt
    WHERE l.outcome <> 'ok' OR l.attempt > 1 OR w.shard IS NULL
),
wanted AS (
    SELECT request_id, max(ceiling) AS wanted_ceiling
    FROM asked
    WHERE request_id IN (SELECT request_id FROM told)
    GROUP BY request_id
)
SELECT
    w.request_id,
    w.wanted_ceiling,
    bool_or(t.outcome = 'ok') OR (bool_or(t.whole) AND NOT bool_or(t.attempt = 1)) AS ok,
    coalesce(
        arg_max(t.outcome, t.attempt) FILTER (t.heard), if(bool_or(t.whole) AND NOT bool_or(t.attempt = 1), 'ok', NULL)
    ) AS last,
    arg_max(t.transient, t.attempt) FILTER (t.heard) AS last_transient,
    arg_max(t.ceiling, t.attempt) FILTER (t.heard) AS last_ceiling,
    count(*) FILTER (t.heard AND t.outcome = 'truncated') AS truncated,
    count(*) FILTER (t.heard AND t.outcome = 'refused') AS refused,
    count(*) FILTER (t.heard AND t.outcome = 'invalid') AS invalid,
    count(*) FILTER (t.heard AND t.outcome = 'error' AND NOT t.transient) AS error,
    count(*) FILTER (t.heard AND t.outcome = 'error' AND t.transient) AS transient,
    count(*) FILTER (t.heard AND t.outcome = 'expired') AS expired,
    count(*) FILTER (t.heard AND t.outcome = 'cancelled') AS cancelled,
    count(*) FILTER (t.heard AND t.outcome = 'missing') AS missing
FROM wanted AS w
JOIN told AS t ON t.request_id = w.request_id
GROUP BY w.request_id, w.wanted_ceiling
