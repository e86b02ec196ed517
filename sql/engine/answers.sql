-- The stage's rows with their answers: what its table query reads.
-- reads: asked, best
SELECT
    unnest(a.row),
    a.round,
    a.sample,
    a.request_id,
    coalesce(b.outcome, 'missing') AS outcome,
    b.text,
    b.reasoning,
    b.answer::JSON AS answer,
    b.embedding,
    b.model
FROM asked AS a
LEFT JOIN best AS b ON b.request_id = a.request_id
