-- The problems that go on to be solved, with the verifiers' own answers: those that both verifiers kept, and the
-- contested ones, which one kept and the other rejected for nothing but their answer. A contested answer stands if a
-- solver that never saw it arrives at it (reference_checks).
-- reads: candidates, verdict_a, verdict_b
SELECT
    c.*,
    a.own_answer AS verifier_a_answer,
    b.own_answer AS verifier_b_answer,
    NOT (a.kept AND b.kept) AS contested
FROM candidates AS c
JOIN verdict_a AS a ON a.row_key = c.row_key
JOIN verdict_b AS b ON b.row_key = c.row_key
WHERE (a.kept OR a.objection = 'answer') AND (b.kept OR b.objection = 'answer') AND (a.kept OR b.kept)
ORDER BY c.row_key
