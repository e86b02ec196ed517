-- Are there enough topics? True when every subject has its quota (with the margin) or is exhausted: the last round that
-- asked for it found hardly anything new.
-- reads: previous
-- $subjects: list of {subject, topics}: the quota of each subject
-- $topics_margin: collect this many times the quota, because de-duplication comes after (1.05)
-- $topics_min_new: a round with a smaller part of new topics than this has exhausted its subject (0.1)
WITH wanted AS (
    SELECT s.subject, ceil(s.topics * $topics_margin)::INTEGER AS target
    FROM (SELECT unnest(from_json(to_json($subjects), '[{"subject": "VARCHAR", "topics": "INTEGER"}]')) AS s)
),
named AS (
    SELECT p.row ->> 'subject' AS subject, p.round, topic_key(t.topic) AS key
    FROM previous AS p, unnest(from_json(p.answer -> 'topics', '[{"topic": "VARCHAR"}]')) AS x (t)
    WHERE p.outcome = 'ok' AND trim(t.topic) <> ''
),
by_round AS (
    SELECT
        subject,
        round,
        count(*) AS named,
        count(*) FILTER (first_time) AS new
    FROM (
        SELECT subject, round, row_number() OVER (PARTITION BY subject, key ORDER BY round) = 1 AS first_time
        FROM named
    )
    GROUP BY subject, round
),
so_far AS (
    SELECT subject, sum(new) AS found, arg_max(new, round) < $topics_min_new * arg_max(named, round) AS exhausted
    FROM by_round
    GROUP BY subject
)
SELECT coalesce(bool_and(coalesce(f.found >= w.target OR f.exhausted, false)), true) AS enough
FROM wanted AS w
LEFT JOIN so_far AS f ON f.subject = w.subject
