-- What the model is asked: the pairs that only it can tell, in both orders. Nothing where there are no such pairs.
-- A later topic that is merged without a model is not asked about.
-- reads: topic_pairs
SELECT
    p.row_key || '/' || o.sequence AS row_key,
    p.row_key AS pair,
    p.subject,
    if(o.sequence = 1, p.earlier_topic, p.later_topic) AS first_topic,
    if(o.sequence = 1, p.later_topic, p.earlier_topic) AS second_topic
FROM topic_pairs AS p, (VALUES (1), (2)) AS o (sequence)
WHERE
    p.reason IS NULL
    AND NOT EXISTS (SELECT 1 FROM topic_pairs AS q WHERE q.later = p.later AND q.reason IS NOT NULL)
ORDER BY p.subject, p.row_key, o.sequence
