-- What the author is asked: new problems after each failed one, with what the pool has of the same kind before it.
-- reads: failures, neighbours
-- $per_failure: how many new problems after each failed one
-- $shown: how many of the nearest the author sees (5)
WITH near AS (
    SELECT failure_key, string_agg('- ' || question, chr(10) ORDER BY place) AS similar
    FROM neighbours
    WHERE place <= $shown
    GROUP BY failure_key
)
SELECT
    f.row_key || '/' || s.slot AS row_key,
    f.row_key AS failure_key,
    f.subject,
    f.question,
    coalesce(n.similar, 'none') AS similar,
    s.slot
FROM failures AS f
CROSS JOIN (SELECT unnest(range(1, $per_failure::BIGINT + 1)) AS slot) AS s
LEFT JOIN near AS n ON n.failure_key = f.row_key
ORDER BY f.subject, f.row_key, s.slot
