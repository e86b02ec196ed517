-- What the sample's requests of one stage asked, what became of them, how often they were sent, and all that they cost.
-- An answer with a schema is shown as its fields, so its text is left out.
-- reads: evidence, best, landed
WITH sent AS (SELECT request_id, count(*) AS attempts, sum(usd) AS usd FROM landed GROUP BY request_id)
SELECT
    e.place,
    e.position,
    e.row_key,
    e.sample,
    e.request_id,
    e.row,
    coalesce(b.outcome, 'not answered') AS outcome,
    b.model,
    coalesce(s.attempts, 0) AS attempts,
    b.input_tokens,
    b.output_tokens,
    s.usd,
    if(b.answer IS NULL, b.text, NULL) AS text,
    b.reasoning,
    b.answer,
    coalesce(b.message, b.code) AS message
FROM evidence AS e
LEFT JOIN best AS b ON b.request_id = e.request_id
LEFT JOIN sent AS s ON s.request_id = e.request_id
ORDER BY e.place, e.position
