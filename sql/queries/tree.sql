-- The taxonomy as a tree, one row per node: subject (level 1, without parent), area, branch, topic. topics: how many
-- lie below; a topic is one itself. A branch that only says the area again is no node.
-- reads: taxonomy
WITH leaves AS (
    SELECT
        row_key, subject, area, branch, topic, parent,
        split_part(parent, '/', 1) AS subject_id,
        split_part(parent, '/', 1) || '/' || split_part(parent, '/', 2) AS area_id
    FROM taxonomy
),
nodes AS (
    SELECT subject_id AS node, NULL::VARCHAR AS parent, 1 AS level, 'subject' AS kind, subject AS name, row_key
    FROM leaves
    UNION ALL
    SELECT area_id, subject_id, 2, 'area', area, row_key FROM leaves
    UNION ALL
    SELECT parent, area_id, 3, 'branch', branch, row_key FROM leaves WHERE parent <> area_id
    UNION ALL
    SELECT row_key, parent, if(parent = area_id, 3, 4), 'topic', topic, row_key FROM leaves
)
SELECT node, parent, level, kind, arg_min(name, row_key) AS name, count(*) AS topics
FROM nodes
GROUP BY node, parent, level, kind
ORDER BY node
