-- The problems about which the two verifiers disagree, with both reasons, and what those found who had not seen the
-- proposed answer: the traces and the arbiter. outcome: what became of the problem. Where verifier a rejected more than
-- the answer, verifier b saw a sample only (the parameter audit_share).
-- reads: candidates, verdict_a, verdict_b, reference_checks
SELECT
    c.subject,
    c.topic,
    c.row_key,
    if(a.kept, 'a keeps, b rejects', 'a rejects, b keeps') AS verdicts,
    coalesce(a.objection, b.objection) AS objection,
    c.reference_answer,
    a.own_answer AS answer_of_a,
    b.own_answer AS answer_of_b,
    r.final_answers AS answers_of_traces,
    r.arbiter_answer,
    coalesce(r.reference || ': ' || r.reason, 'rejected') AS outcome,
    a.reason AS reason_of_a,
    b.reason AS reason_of_b
FROM candidates AS c
JOIN verdict_a AS a ON a.row_key = c.row_key
JOIN verdict_b AS b ON b.row_key = c.row_key
LEFT JOIN reference_checks AS r ON r.row_key = c.row_key
WHERE a.kept <> b.kept
ORDER BY c.subject, c.topic, c.row_key
