-- The topics that problems are written about, the leaves of a tree: subject, area, branch, topic, with the other names
-- that were merged. parent: the node above, as chimera-batch query @tree lists them: the branch, or the area where the
-- branch is no level of its own. named_as: the row of topics, so that a problem can be traced back to the request that
-- named its topic.
-- reads: topic_decisions
-- $subjects: list of {subject, kind}: kind is formal (default) or humanities, and decides the angles of the drafts
WITH kinds AS (
    SELECT s.subject, s.kind
    FROM (SELECT unnest(from_json(to_json($subjects), '[{"subject": "VARCHAR", "kind": "VARCHAR"}]')) AS s)
),
other_names AS (
    SELECT topic_id, list(DISTINCT topic ORDER BY topic) AS names
    FROM topic_decisions
    WHERE merged_into IS NOT NULL
    GROUP BY topic_id
),
placed AS (
    SELECT
        *,
        trim(regexp_replace(lower(subject), '[^\p{L}\p{N}]+', '-', 'g'), '-') || '/'
        || trim(regexp_replace(lower(area), '[^\p{L}\p{N}]+', '-', 'g'), '-') AS area_id,
        if(topic_key(branch) IN ('', topic_key(area), topic_key(subject)), NULL, topic_key(branch)) AS branch_key
    FROM topic_decisions
    WHERE decision = 'kept'
)
SELECT
    t.topic_id AS row_key,
    t.subject,
    t.area,
    t.branch,
    t.topic,
    list_filter(coalesce(o.names, []::VARCHAR[]), lambda name: name <> t.topic) AS aliases,
    coalesce(k.kind, 'formal') AS kind,
    t.row_key AS named_as,
    t.area_id || coalesce('/' || replace(t.branch_key, ' ', '-'), '') AS parent
FROM placed AS t
LEFT JOIN other_names AS o ON o.topic_id = t.topic_id
LEFT JOIN kinds AS k ON k.subject = t.subject
ORDER BY row_key
