-- The problems that the verifiers and the free checks keep: the same rows, when all have been paid for.
-- reads: candidates, screened, verdict_a, verdict_b
SELECT
    c.*,
    a.own_answer AS verifier_a_answer,
    b.own_answer AS verifier_b_answer,
    NOT (a.kept AND b.kept) AS contested
FROM candidates AS c
JOIN screened AS s ON s.row_key = c.row_key AND s.reason = 'ok'
JOIN verdict_a AS a ON a.row_key = c.row_key
JOIN verdict_b AS b ON b.row_key = c.row_key
WHERE (a.kept OR a.objection = 'answer') AND (b.kept OR b.objection = 'answer') AND (a.kept OR b.kept)
ORDER BY c.row_key
