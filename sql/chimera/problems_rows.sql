-- One row per draft: each topic, seen from several angles, so that its drafts differ. More drafts per topic add rows
-- and change none.
-- reads: taxonomy
-- $problems_per_topic: drafts per topic
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
drafts AS (
    SELECT t.*, unnest(range(1, $problems_per_topic + 1)) AS slot
    FROM taxonomy AS t
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
