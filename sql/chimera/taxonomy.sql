-- The topics that problems are written about: subject, area, branch, topic, with the other names that were merged.
-- named_as: the row of topics, so that a problem can be traced back to the request that named its topic.
-- reads: topic_decisions
-- $subjects: list of {subject, kind}: kind is formal (default) or humanities, and decides the angles of the drafts
WITH kinds AS (
    SELECT s.subject, s.kind
    FROM (SELECT unnest(from_json(to_json($subjects), '[{"subject": "VARCHAR", "kind": "VARCHAR"}]')) AS s)
),
other_names AS (
    SELECT topic_id, list(DISTINCT topic ORDER BY topic) AS names
    FROM topic_decisions
    WHERE decision IN ('same words', 'near duplicate')
    GROUP BY topic_id
)
SELECT
    t.topic_id AS row_key,
    t.subject,
    t.area,
    t.branch,
    t.topic,
    list_filter(coalesce(o.names, []::VARCHAR[]), lambda name: name <> t.topic) AS aliases,
    coalesce(k.kind, 'formal') AS kind,
    t.row_key AS named_as
FROM topic_decisions AS t
LEFT JOIN other_names AS o ON o.topic_id = t.topic_id
LEFT JOIN kinds AS k ON k.subject = t.subject
WHERE t.decision = 'kept'
ORDER BY row_key
