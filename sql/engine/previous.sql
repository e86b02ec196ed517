-- What the stage asked in closed rounds: what the next round's rows query and the `until` query read.
-- reads: asked, best
SELECT
    a.round,
    a.row_key,
    a.sample,
    coalesce(b.outcome, 'missing') AS outcome,
    to_json(a.row) AS row,
    b.answer::JSON AS answer,
    coalesce(b.text, b.answer) AS text -- an answer that is its text letter for letter is kept once
FROM asked AS a
LEFT JOIN best AS b ON b.request_id = a.request_id
ORDER BY a.round, a.position
