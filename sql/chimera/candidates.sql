-- The problems that are worth verifying: drafts, and what was made of drafts that nobody could check.
-- reads: screened
SELECT * EXCLUDE (reason, duplicate_of, overlap)
FROM screened
WHERE reason = 'ok'
ORDER BY row_key
