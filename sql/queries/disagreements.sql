-- The problems about which the two verifiers disagree, with both reasons. Where verifier a rejected, verifier b saw a
-- sample only (the parameter audit_share).
-- reads: candidates, verdict_a, verdict_b
SELECT
    c.subject,
    c.topic,
    c.row_key,
    if(a.kept, 'a keeps, b rejects', 'a rejects, b keeps') AS verdicts,
    c.reference_answer,
    a.own_answer AS answer_of_a,
    b.own_answer AS answer_of_b,
    a.reason AS reason_of_a,
    b.reason AS reason_of_b
FROM candidates AS c
JOIN verdict_a AS a ON a.row_key = c.row_key
JOIN verdict_b AS b ON b.row_key = c.row_key
WHERE a.kept <> b.kept
ORDER BY c.subject, c.topic, c.row_key
