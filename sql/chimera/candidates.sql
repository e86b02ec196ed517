-- The drafts that are worth verifying.
-- reads: screened
SELECT * EXCLUDE (reason, duplicate_of)
FROM screened
WHERE reason = 'ok'
ORDER BY row_key
