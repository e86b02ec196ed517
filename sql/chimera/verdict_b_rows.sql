-- What the second verifier is asked: only what the first one kept, and a small sample of what it rejected, so that the
-- agreement of the two can be measured. The sample cannot get into the data set.
-- reads: candidates, verdict_a
-- $audit_share: part of the first verifier's rejects that the second one sees as well, 0 to 1
SELECT c.row_key, c.subject, c.topic, c.question, c.reference_answer AS proposed_answer, c.answer_kind
FROM candidates AS c
JOIN verdict_a AS a ON a.row_key = c.row_key
WHERE a.kept OR ('0x' || left(md5(c.row_key), 8))::BIGINT < $audit_share * 4294967296
ORDER BY c.subject, c.topic, c.row_key
