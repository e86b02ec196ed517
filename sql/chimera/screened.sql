-- Every draft with what the free checks say of it, before anyone is paid to verify it. reason 'ok' means: go on.
-- Of two that are the same problem the one of the earlier wave stays, so that what was verified once stays in.
-- reads: problems
-- $near_problem: problems of one area with the same numbers and answer are one problem if their 3-word sequences
-- overlap at least this much (Jaccard, 0.5)
WITH keyed AS MATERIALIZED (
    SELECT
        row_key, wave, subject, area, question,
        screen_problem(question, reference_answer) AS screen,
        text_key(question) AS question_key,
        text_key(reference_answer) AS answer_key,
        list_sort(regexp_extract_all(question, '\d+(?:[.,]\d+)*')) AS numbers
    FROM problems
),
firsts AS (
    SELECT *, first_value(row_key) OVER (PARTITION BY question_key ORDER BY wave, row_key) AS first_key
    FROM keyed
    WHERE screen = 'ok'
),
near AS (
    SELECT b.row_key, first(a.row_key ORDER BY a.wave, a.row_key) AS first_key
    FROM firsts AS a
    JOIN firsts AS b
        ON a.subject = b.subject AND a.area = b.area
        AND a.answer_key = b.answer_key AND a.numbers = b.numbers
        AND (a.wave, a.row_key) < (b.wave, b.row_key)
    WHERE
        a.row_key = a.first_key
        AND b.row_key = b.first_key
        AND ngram_jaccard(a.question, b.question, 3) >= $near_problem
    GROUP BY b.row_key
)
SELECT
    p.*,
    CASE
        WHEN k.screen <> 'ok' THEN k.screen
        WHEN f.first_key <> p.row_key THEN 'same problem'
        WHEN n.first_key IS NOT NULL THEN 'near duplicate'
        ELSE 'ok'
    END AS reason,
    CASE WHEN f.first_key <> p.row_key THEN f.first_key ELSE n.first_key END AS duplicate_of
FROM problems AS p
JOIN keyed AS k ON k.row_key = p.row_key
LEFT JOIN firsts AS f ON f.row_key = p.row_key
LEFT JOIN near AS n ON n.row_key = p.row_key
ORDER BY p.row_key
