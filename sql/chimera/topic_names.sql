-- Every topic that was named or wished for, in the order in which topics are taken: earlier rounds first, and areas
-- take turns, so that a later round or a larger quota adds topics at the end. With its words' key and the first check.
-- reads: topics
-- $subjects: list of {subject, areas}: names of areas are too general for a topic
-- $extra_topics: list of {subject, area, topic} that a person wants in any case, whatever the check says; may be empty
WITH names AS (
    SELECT s.subject, array_to_string(s.areas, chr(10)) AS areas
    FROM (SELECT unnest(from_json(to_json($subjects), '[{"subject": "VARCHAR", "areas": ["VARCHAR"]}]')) AS s)
),
named AS (
    SELECT
        row_key, subject, area, branch, topic, false AS extra, round,
        row_number() OVER (PARTITION BY subject, round, area ORDER BY place, asked_by, row_key) AS turn
    FROM topics
    UNION ALL
    SELECT 'extra/' || e.subject || '/' || e.topic, e.subject, e.area, e.area, trim(e.topic), true, 0, 1
    FROM (
        SELECT DISTINCT unnest(from_json(
            to_json($extra_topics), '[{"subject": "VARCHAR", "area": "VARCHAR", "topic": "VARCHAR"}]'
        )) AS e
    )
),
judged AS (
    SELECT
        n.*,
        topic_key(n.topic) AS key,
        if(n.extra, 'ok', screen_topic(n.topic, n.subject, concat_ws(chr(10), n.area, a.areas))) AS judgement,
        row_number() OVER (ORDER BY n.round, n.turn, n.subject, n.area, n.row_key) AS place
    FROM named AS n
    LEFT JOIN names AS a ON a.subject = n.subject
)
SELECT
    row_key,
    subject,
    area,
    branch,
    topic,
    extra,
    key,
    -- readable, and the same for every order of the same words
    trim(regexp_replace(lower(subject), '[^\p{L}\p{N}]+', '-', 'g'), '-')
    || '/' || left(trim(regexp_replace(key, '[^\p{L}\p{N}]+', '-', 'g'), '-'), 60)
    || '-' || left(md5(key), 6) AS topic_id,
    judgement,
    judgement = 'ok'
    AND row_number() OVER (PARTITION BY subject, key, judgement = 'ok' ORDER BY place) = 1 AS first_named,
    place
FROM judged
ORDER BY row_key
