-- What became of every topic that was named, and why: kept, merged into another one, no topic at all, or over quota.
-- Earlier rounds come first and areas take turns, so a later round or a larger quota adds topics and displaces none.
-- reads: topics
-- $subjects: list of {subject, topics}: the quota of each subject
-- $extra_topics: list of {subject, area, topic} that a person wants in any case, on top of the quota; may be empty
-- $near_topic: topics of one subject whose words overlap at least this much (Jaccard) are one topic (0.8)
WITH RECURSIVE quotas AS (
    SELECT s.subject, s.topics
    FROM (SELECT unnest(from_json(to_json($subjects), '[{"subject": "VARCHAR", "topics": "INTEGER"}]')) AS s)
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
keyed AS MATERIALIZED (
    SELECT *, topic_key(topic) AS key, row_number() OVER (ORDER BY round, turn, subject, area, row_key) AS place
    FROM named
),
judged AS (
    SELECT
        *,
        CASE
            WHEN extra THEN 'ok'
            WHEN key IN (topic_key(subject), topic_key(area)) THEN 'too general'
            WHEN regexp_matches(
                lower(topic),
                '^(emerging|future|current|recent|new|open|selected|special|miscellaneous|other|further|general)'
                || '( \p{L}+)? (directions?|trends?|topics?|problems?|questions?|issues?|developments?|perspectives?)\b'
            ) THEN 'no topic'
            WHEN regexp_matches(lower(topic), '\b(education research|outreach|pedagogy|careers?)\b') THEN 'no topic'
            ELSE 'ok'
        END AS judgement
    FROM keyed
),
firsts AS MATERIALIZED (
    SELECT subject, key, topic, place
    FROM judged
    WHERE judgement = 'ok'
    QUALIFY row_number() OVER (PARTITION BY subject, key ORDER BY place) = 1
),
words AS (
    SELECT subject, key, place, unnest(string_split(key, ' ')) AS word
    FROM firsts
),
sizes AS (SELECT subject, key, count(*) AS size FROM words GROUP BY subject, key),
pairs AS (  -- only topics that share at least half of their words are worth comparing
    SELECT a.subject, a.key AS earlier, b.key AS later, min(a.place) AS earlier_place
    FROM words AS a
    JOIN words AS b ON b.subject = a.subject AND b.word = a.word AND a.place < b.place
    JOIN sizes AS na ON na.subject = a.subject AND na.key = a.key
    JOIN sizes AS nb ON nb.subject = b.subject AND nb.key = b.key
    GROUP BY a.subject, a.key, b.key
    HAVING count(*) * 2 >= max(greatest(na.size, nb.size))
),
near AS (
    SELECT p.subject, p.earlier, p.later, token_jaccard(a.topic, b.topic) AS overlap
    FROM pairs AS p
    JOIN firsts AS a ON a.subject = p.subject AND a.key = p.earlier
    JOIN firsts AS b ON b.subject = p.subject AND b.key = p.later
    WHERE token_jaccard(a.topic, b.topic) >= $near_topic
    QUALIFY row_number() OVER (PARTITION BY p.subject, p.later ORDER BY p.earlier_place) = 1
),
roots AS (
    SELECT f.subject, f.key, f.key AS root
    FROM firsts AS f
    WHERE NOT EXISTS (SELECT 1 FROM near AS n WHERE n.subject = f.subject AND n.later = f.key)
    UNION ALL
    SELECT n.subject, n.later, r.root
    FROM near AS n
    JOIN roots AS r ON r.subject = n.subject AND r.key = n.earlier
),
ranked AS (
    SELECT
        j.subject, j.key, j.place,
        count(*) FILTER (NOT j.extra) OVER (PARTITION BY j.subject ORDER BY j.place) AS rank
    FROM judged AS j
    JOIN firsts AS f ON f.place = j.place
    JOIN roots AS r ON r.subject = j.subject AND r.key = j.key AND r.root = j.key
),
decided AS (
    SELECT
        j.row_key, j.subject, j.area, j.branch, j.topic, j.extra, j.place,
        coalesce(r.root, j.key) AS key,
        n.overlap,
        CASE
            WHEN j.judgement <> 'ok' THEN j.judgement
            WHEN r.root <> j.key THEN 'near duplicate'
            WHEN f.place <> j.place THEN 'same words'
            WHEN NOT j.extra AND k.rank > coalesce(q.topics, 0) THEN 'over quota'
            ELSE 'kept'
        END AS decision
    FROM judged AS j
    LEFT JOIN firsts AS f ON f.subject = j.subject AND f.key = j.key AND j.judgement = 'ok'
    LEFT JOIN roots AS r ON r.subject = j.subject AND r.key = j.key AND j.judgement = 'ok'
    LEFT JOIN near AS n ON n.subject = j.subject AND n.later = j.key AND j.judgement = 'ok'
    LEFT JOIN ranked AS k ON k.place = j.place
    LEFT JOIN quotas AS q ON q.subject = j.subject
)
SELECT
    row_key,
    subject,
    area,
    branch,
    topic,
    decision,
    overlap,
    -- the topic that it is, or would be: readable, and the same for every order of the same words
    trim(regexp_replace(lower(subject), '[^\p{L}\p{N}]+', '-', 'g'), '-')
    || '/' || left(trim(regexp_replace(key, '[^\p{L}\p{N}]+', '-', 'g'), '-'), 60)
    || '-' || left(md5(key), 6) AS topic_id,
    place
FROM decided
ORDER BY row_key
