-- What the second verifier is asked: what the first one kept, what it rejected for nothing but its answer (one of the
-- two may have miscalculated, and a good draft has cost more than a second verdict), and a small sample of all other
-- rejects, so that the agreement of the two can be measured. The sample cannot get into the data set.
-- reads: candidates, verdict_a
-- $audit_share: part of the first verifier's other rejects that the second one sees as well, 0 to 1
SELECT c.row_key, c.subject, c.topic, c.question, c.reference_answer AS proposed_answer, c.answer_kind
FROM candidates AS c
JOIN verdict_a AS a ON a.row_key = c.row_key
WHERE
    a.kept
    OR a.objection = 'answer'
    OR ('0x' || left(md5(c.row_key), 8))::BIGINT < $audit_share * 4294967296
ORDER BY c.subject, c.topic, c.row_key
