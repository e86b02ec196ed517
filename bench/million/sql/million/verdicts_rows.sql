-- One in a hundred candidates.
-- reads: candidates
SELECT row_key, subject, topic, note
FROM candidates
WHERE row_key LIKE '%00'
ORDER BY row_key
