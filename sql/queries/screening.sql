-- What the free checks took out, by reason, and what became of it: how many drafts were given to the editor, how many
-- problems it made of them, and how many of those passed the checks in their turn. part: of all drafts.
-- reads: problems, conversions, screened
WITH drafts AS (
    SELECT s.reason, count(*) AS drafts
    FROM screened AS s
    JOIN problems AS p ON p.row_key = s.row_key
    GROUP BY s.reason
),
made AS (
    SELECT
        c.flaw AS reason,
        count(DISTINCT c.converted_from) AS given_to_editor,
        count(DISTINCT c.converted_from) FILTER (c.part = 0) AS declined,
        count(*) FILTER (c.part > 0) AS problems_made,
        count(*) FILTER (s.reason = 'ok') AS passed
    FROM conversions AS c
    LEFT JOIN screened AS s ON s.row_key = c.row_key
    GROUP BY c.flaw
)
SELECT
    d.reason,
    d.drafts,
    round(d.drafts / sum(d.drafts) OVER (), 4) AS part,
    coalesce(m.given_to_editor, 0) AS given_to_editor,
    coalesce(m.declined, 0) AS declined,
    coalesce(m.problems_made, 0) AS problems_made,
    coalesce(m.passed, 0) AS passed
FROM drafts AS d
LEFT JOIN made AS m ON m.reason = d.reason
ORDER BY d.reason <> 'ok', d.drafts DESC, d.reason
