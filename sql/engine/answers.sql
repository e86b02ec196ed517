-- The stage's rows with their answers: what its table query reads.
-- An answer that is its text letter for letter is kept once.
-- reads: asked, best
SELECT
    unnest(a.row),
    a.round,
    a.sample,
    a.request_id,
    coalesce(b.outcome, 'missing') AS outcome,
    coalesce(b.text, b.answer) AS text,
    b.reasoning,
    b.answer::JSON AS answer,
    b.embedding,
    b.model
FROM asked AS a
LEFT JOIN best AS b ON b.request_id = a.request_id
