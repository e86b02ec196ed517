-- What became of every topic that was named, and why: kept, merged into another one (with the reason and the measure),
-- no topic at all, or over quota. Only a later topic is merged into an earlier one, so what came first is never
-- displaced.
-- reads: topic_names, topic_pairs, same_topics
-- $subjects: list of {subject, topics}: the quota of each subject
WITH RECURSIVE quotas AS (
    SELECT s.subject, s.topics
    FROM (SELECT unnest(from_json(to_json($subjects), '[{"subject": "VARCHAR", "topics": "INTEGER"}]')) AS s)
),
near AS (  -- of several earlier ones the first
    SELECT
        p.earlier, p.later,
        coalesce(p.reason, 'model') AS reason,
        CASE coalesce(p.reason, 'model')
            WHEN 'near duplicate' THEN p.overlap
            WHEN 'fuzzy' THEN p.likeness
            WHEN 'embedding' THEN p.cosine
            ELSE m.yes_votes / m.votes
        END AS measure
    FROM topic_pairs AS p
    LEFT JOIN same_topics AS m ON m.row_key = p.row_key
    WHERE p.reason IS NOT NULL OR m.same
    QUALIFY row_number() OVER (PARTITION BY p.later ORDER BY p.earlier_place) = 1
),
roots AS (
    SELECT f.topic_id, f.topic_id AS root
    FROM topic_names AS f
    WHERE f.first_named AND NOT EXISTS (SELECT 1 FROM near AS n WHERE n.later = f.topic_id)
    UNION ALL
    SELECT n.later, r.root
    FROM near AS n
    JOIN roots AS r ON r.topic_id = n.earlier
),
ranked AS (
    SELECT t.place, count(*) FILTER (NOT t.extra) OVER (PARTITION BY t.subject ORDER BY t.place) AS rank
    FROM topic_names AS t
    JOIN roots AS r ON r.topic_id = t.topic_id AND r.root = r.topic_id
    WHERE t.first_named
),
decided AS (
    SELECT
        t.*,
        coalesce(r.root, t.topic_id) AS root,
        f.topic AS root_topic,
        n.measure,
        CASE
            WHEN t.judgement <> 'ok' THEN t.judgement
            WHEN r.root <> t.topic_id THEN n.reason
            WHEN NOT t.first_named THEN 'same words'
            WHEN NOT t.extra AND k.rank > coalesce(q.topics, 0) THEN 'over quota'
            ELSE 'kept'
        END AS decision
    FROM topic_names AS t
    LEFT JOIN roots AS r ON r.topic_id = t.topic_id AND t.judgement = 'ok'
    LEFT JOIN topic_names AS f ON f.topic_id = r.root AND f.first_named
    LEFT JOIN near AS n ON n.later = t.topic_id AND t.judgement = 'ok'
    LEFT JOIN ranked AS k ON k.place = t.place
    LEFT JOIN quotas AS q ON q.subject = t.subject
)
SELECT
    row_key,
    subject,
    area,
    branch,
    topic,
    decision,
    root AS topic_id,  -- of the topic that it is, or would be
    CASE WHEN decision NOT IN ('kept', 'over quota', 'no topic', 'too general') THEN root_topic END AS merged_into,
    CASE WHEN decision = 'same words' THEN 1.0::DOUBLE ELSE measure::DOUBLE END AS measure,
    place
FROM decided
ORDER BY row_key
