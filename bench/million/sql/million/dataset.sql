-- What is left: the candidates that no second opinion speaks against.
-- reads: candidates, verdicts
SELECT c.row_key, c.subject, c.topic, c.note
FROM candidates AS c
LEFT JOIN verdicts AS v ON v.row_key = c.row_key
WHERE v.kept IS NOT false
