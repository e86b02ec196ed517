-- One row per draft: each topic, seen from several angles, so that its drafts differ.
-- Drafts come in waves. The first one asks for most of what the target is expected to need; each later one for what is
-- missing, by what was kept so far, subject by subject. Topics get their drafts in turn, so that all get equally many.
-- reads: taxonomy, previous, kept
-- $subjects: list of {subject, topics}: the target is shared out in proportion to these quotas
-- $problems: how many problems to keep in all; NULL: every draft that there can be, in one wave
-- $first_wave: part of the expected need that the first wave asks for (0.85)
-- $expected_yield: part of the drafts that is expected to be kept, until it is measured (0.75)
-- $problems_per_topic: the most drafts of one topic
-- $round: this wave, from 1
WITH angles (kind, angle, focus) AS (
    VALUES
    ('formal', 1, 'a derivation that ends in one closed-form expression'),
    ('formal', 2, 'a number that several dependent steps lead to'),
    ('formal', 3, 'a limiting, degenerate or asymptotic case in which the usual rule fails'),
    ('formal', 4, 'an inverse problem: what must have been the cause, the parameter, the input'),
    ('formal', 5, 'an extremal question: the largest, smallest, fastest, cheapest'),
    ('formal', 6, 'the exact condition under which a statement begins or ceases to hold'),
    ('formal', 7, 'counting or classifying all cases'),
    ('formal', 8, 'two results of the topic that have to be combined'),
    ('formal', 9, 'a common misconception that leads to a plausible wrong answer'),
    ('formal', 10, 'a concrete object, system or experiment worked out to the end'),
    ('formal', 11, 'a symmetry, invariant or conservation law that shortens the way'),
    ('formal', 12, 'an order of magnitude, rate or scaling that mechanism alone decides'),
    ('humanities', 1, 'a term whose exact technical sense decides the case'),
    ('humanities', 2, 'a passage or data set, quoted in full, that has to be analysed'),
    ('humanities', 3, 'an attribution, origin or identification from internal evidence'),
    ('humanities', 4, 'a chronology in which one order of events is the only possible one'),
    ('humanities', 5, 'an exception that a general rule of the field does not cover'),
    ('humanities', 6, 'two sources, versions or analyses that have to be reconciled'),
    ('humanities', 7, 'a common misconception that leads to a plausible wrong answer'),
    ('humanities', 8, 'cause and effect over several steps, with one missing link to be named'),
    ('humanities', 9, 'a form, genre, rule or institution recognised by what it does'),
    ('humanities', 10, 'the borrowing, reception or transmission of one element'),
    ('humanities', 11, 'a minimal contrast: what one small difference in the evidence changes'),
    ('humanities', 12, 'a lesser known case to which a well-known concept applies')
),
quotas AS (
    SELECT s.subject, s.topics AS quota
    FROM (SELECT unnest(from_json(to_json($subjects), '[{"subject": "VARCHAR", "topics": "INTEGER"}]')) AS s)
),
topics AS (
    -- in an order of no meaning, so that the topics of one area are not the first ones
    SELECT *, row_number() OVER (PARTITION BY subject ORDER BY md5(row_key), row_key) - 1 AS place
    FROM taxonomy
),
shares AS (
    SELECT
        t.subject,
        t.topics,
        $problems::BIGINT * coalesce(q.quota, t.topics) AS part,
        sum(coalesce(q.quota, t.topics)) OVER ()::BIGINT AS whole
    FROM (SELECT subject, count(*) AS topics FROM topics GROUP BY subject) AS t
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
so_far AS (
    SELECT
        t.subject,
        t.topics,
        t.target,
        coalesce(p.drafted, 0) AS drafted,
        coalesce(k.kept, 0) AS kept
    FROM targets AS t
    LEFT JOIN (
        SELECT row ->> 'subject' AS subject, count(DISTINCT row_key) AS drafted FROM previous GROUP BY 1
    ) AS p ON p.subject = t.subject
    LEFT JOIN (SELECT row ->> 'subject' AS subject, count(*) AS kept FROM kept GROUP BY 1) AS k ON k.subject = t.subject
),
measured AS (
    -- a subject's own yield, drawn towards that of all of them as long as it rests on few drafts
    SELECT *, (kept + 20 * overall) / (drafted + 20) AS yield
    FROM (
        SELECT
            *,
            greatest(coalesce(sum(kept) OVER () / nullif(sum(drafted) OVER (), 0), $expected_yield), 0.02) AS overall
        FROM so_far
    )
),
wave AS (
    SELECT
        *,
        CASE
            WHEN target IS NULL THEN topics * $problems_per_topic
            WHEN $round = 1 THEN ceil($first_wave * target / $expected_yield)
            WHEN kept >= target THEN 0
            -- 3 standard deviations on top, for the luck of the drafts and of the yield they are sized by: a further
            -- wave for a last few problems costs nights, these few drafts cost cents
            ELSE ceil((target - kept + 3 * sqrt((target - kept) * greatest(1 - yield, 0))) / yield)
        END::BIGINT AS wanted
    FROM measured
),
drafts AS (
    SELECT t.*, w.number // w.topics + 1 AS slot
    FROM (
        SELECT subject, topics, unnest(range(drafted, least(drafted + wanted, topics * $problems_per_topic))) AS number
        FROM wave
    ) AS w
    JOIN topics AS t ON t.subject = w.subject AND t.place = w.number % w.topics
)
SELECT
    d.row_key || '/' || d.slot AS row_key,
    d.row_key AS topic_id,
    d.subject,
    d.area,
    d.topic,
    d.slot::INTEGER AS slot,
    a.focus
FROM drafts AS d
JOIN angles AS a ON a.kind = d.kind AND a.angle = (d.slot - 1) % 12 + 1
ORDER BY d.subject, d.area, d.topic, d.slot
