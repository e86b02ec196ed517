-- The candidates that were kept, as they came: with all of their own columns.
-- reads: candidates, filtered
SELECT c.*
FROM candidates AS c
JOIN filtered AS f ON f.row_key = c.row_key AND f.kept
ORDER BY c.row_key
