-- Every try, right or wrong; NULL where the judge gave no decision. Cut, refused and answerless ones are wrong.
-- reads: tries, verified, checks, judgements
WITH lettered AS (
    SELECT
        row_key,
        -- "(B)", "B) 12.5", "Option B", "\text{B}"; but not the first letter of a word
        upper(
            regexp_extract(
                coalesce(final_answer(coalesce(text, '')), ''),
                '(?i)^(?:\\(?:text|mathrm)(?:bf)?\{|\\mathbf\{|option|[\s({\[$*:])*([a-z])(?:[\s)}\]$*.]*$|[).:,}\]])',
                1
            )
        ) AS letter
    FROM tries
    WHERE answer_kind = 'letter' AND usable
)
SELECT
    t.row_key,
    t.solver,
    t.benchmark,
    t.problem_key,
    t.sample,
    coalesce(c.final_answer, l.letter) AS final_answer,
    CASE
        WHEN t.answer_kind = 'letter' THEN coalesce(l.letter = upper(v.reference_answer), false)
        WHEN c.row_key IS NULL THEN false
        WHEN c.doubt THEN j.same
        ELSE c.match = 'yes'
    END AS correct,
    CASE
        WHEN NOT t.usable THEN 'no usable answer'
        WHEN t.answer_kind = 'letter' THEN 'letter'
        WHEN c.row_key IS NULL THEN 'not checked'
        WHEN NOT c.doubt THEN 'rule'
        WHEN j.row_key IS NOT NULL THEN 'judge'
        ELSE 'undecided'
    END AS decided_by
FROM tries AS t
JOIN verified AS v ON v.row_key = t.problem_key
LEFT JOIN lettered AS l ON l.row_key = t.row_key
LEFT JOIN checks AS c ON c.row_key = t.row_key
LEFT JOIN judgements AS j ON j.row_key = t.row_key
ORDER BY row_key
