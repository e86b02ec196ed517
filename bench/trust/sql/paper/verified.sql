-- The problems that both verifiers kept.
-- reads: candidates, verdict_a, verdict_b
SELECT c.*
FROM candidates AS c
JOIN verdict_a AS a ON a.row_key = c.row_key AND a.kept
JOIN verdict_b AS b ON b.row_key = c.row_key AND b.kept
ORDER BY c.row_key
