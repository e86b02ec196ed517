-- This round's requests for topics: lists to ask for, by subject and area, where topics are still missing.
-- Round 1 asks for whole subjects. Later rounds ask for what is missing, beginning with the areas that have least, and
-- show the list so far. A subject is left alone when it has enough, or when the last round hardly found anything new.
-- reads: previous
-- $subjects: list of {subject, topics, ask, areas}: the quota, how many topics one request asks for, names of areas
-- $topics_margin: collect this many times the quota, because de-duplication comes after (1.05)
-- $topics_overask: ask for this many times what is missing, because some will be repeated (1.3)
-- $topics_min_new: a round with a smaller part of new topics than this has exhausted its subject (0.1)
-- $round: this round, from 1
WITH wanted AS (
    SELECT s.subject, s.ask, s.areas, ceil(s.topics * $topics_margin)::INTEGER AS target
    FROM (
        SELECT unnest(from_json(
            to_json($subjects), '[{"subject": "VARCHAR", "topics": "INTEGER", "ask": "INTEGER", "areas": ["VARCHAR"]}]'
        )) AS s
    )
),
named AS (
    SELECT p.round, p.row ->> 'subject' AS subject, p.row ->> 'area' AS area, p.row_key, t.topic
    FROM previous AS p, unnest(from_json(p.answer -> 'topics', '[{"topic": "VARCHAR"}]')) AS x (t)
    WHERE p.outcome = 'ok' AND trim(t.topic) <> ''
),
known AS (
    SELECT *
    FROM named
    QUALIFY row_number() OVER (PARTITION BY subject, topic_key(topic) ORDER BY round, row_key, topic) = 1
),
last_round AS (
    SELECT subject, count(*) AS named
    FROM named
    WHERE round = $round - 1
    GROUP BY subject
),
so_far AS (
    SELECT
        subject,
        count(*) AS found,
        count(*) FILTER (round = $round - 1) AS new,
        string_agg(topic, chr(10) ORDER BY topic) AS list
    FROM known
    GROUP BY subject
),
askings AS (
    SELECT
        w.subject,
        w.ask,
        w.areas,
        coalesce(f.list, '') AS existing_topics,
        unnest(range(ceil((w.target - coalesce(f.found, 0)) * $topics_overask / w.ask)::INTEGER)) AS number
    FROM wanted AS w
    LEFT JOIN so_far AS f ON f.subject = w.subject
    LEFT JOIN last_round AS l ON l.subject = w.subject
    WHERE
        coalesce(f.found, 0) < w.target
        AND (coalesce(l.named, 0) = 0 OR f.new >= $topics_min_new * l.named)
),
areas AS (
    SELECT
        a.subject,
        a.area,
        row_number() OVER (PARTITION BY a.subject ORDER BY count(k.topic), a.place) - 1 AS turn
    FROM (
        SELECT subject, unnest(areas) AS area, unnest(range(len(areas))) AS place
        FROM wanted
    ) AS a
    LEFT JOIN known AS k ON k.subject = a.subject AND k.area = a.area
    GROUP BY a.subject, a.area, a.place
),
placed AS (
    SELECT q.subject, a.area, q.ask, q.existing_topics, q.number // len(q.areas) + 1 AS slot
    FROM askings AS q
    JOIN areas AS a ON a.subject = q.subject AND a.turn = q.number % len(q.areas)
),
points_of_view AS (
    SELECT [
        'the established core: what a qualifying examination would ask',
        'results of the last decades that count as settled',
        'methods, techniques and instruments of the area, and what they rest on',
        'where the area meets its neighbours'
    ] AS list
)
SELECT
    trim(regexp_replace(lower(p.subject), '[^\p{L}\p{N}]+', '-', 'g'), '-')
    || '/' || trim(regexp_replace(lower(p.area), '[^\p{L}\p{N}]+', '-', 'g'), '-')
    || '/r' || $round || '-' || p.slot AS row_key,
    p.subject,
    p.area,
    p.existing_topics,
    v.list[(p.slot + $round - 2) % len(v.list) + 1]
    || if(p.slot > len(v.list), ' (list ' || ((p.slot - 1) // len(v.list) + 1) || ')', '') AS focus,
    p.ask AS count
FROM placed AS p, points_of_view AS v
ORDER BY p.subject, p.area, p.slot
