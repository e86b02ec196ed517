-- Are enough problems kept? True when every subject has its share of the target; without a target, when every draft
-- that there can be is asked for. A subject that has none left to ask for and not its share ends the waves with a note.
-- reads: taxonomy, previous, kept
-- $subjects: list of {subject, topics}: the target is shared out in proportion to these quotas
-- $problems: how many problems to keep in all; NULL: every draft that there can be
-- $problems_per_topic: the most drafts of one topic
WITH quotas AS (
    SELECT s.subject, s.topics AS quota
    FROM (SELECT unnest(from_json(to_json($subjects), '[{"subject": "VARCHAR", "topics": "INTEGER"}]')) AS s)
),
shares AS (
    SELECT
        t.subject,
        t.topics,
        $problems::BIGINT * coalesce(q.quota, t.topics) AS part,
        sum(coalesce(q.quota, t.topics)) OVER ()::BIGINT AS whole
    FROM (SELECT subject, count(*) AS topics FROM taxonomy GROUP BY subject) AS t
    LEFT JOIN quotas AS q ON q.subject = t.subject
),
targets AS (
    -- what is left by rounding down goes to the largest remainders
    SELECT
        subject,
        topics,
        part // whole + if(place <= $problems::BIGINT - whole_parts, 1, 0) AS target
    FROM (
        SELECT
            *,
            row_number() OVER (ORDER BY part % whole DESC, subject) AS place,
            sum(part // whole) OVER () AS whole_parts
        FROM shares
    )
),
drafted AS (
    SELECT row ->> 'subject' AS subject, count(DISTINCT row_key) AS drafted FROM previous GROUP BY 1
),
so_far AS (
    SELECT row ->> 'subject' AS subject, count(*) AS kept FROM kept GROUP BY 1
)
SELECT
    coalesce(
        bool_and(
            if(
                t.target IS NULL,
                coalesce(d.drafted, 0) >= t.topics * $problems_per_topic,
                coalesce(k.kept, 0) >= t.target
            )
        ),
        true
    ) AS enough
FROM targets AS t
LEFT JOIN drafted AS d ON d.subject = t.subject
LEFT JOIN so_far AS k ON k.subject = t.subject
