-- The table of a stage that has no table query: every ok answer as it is.
-- reads: answers
SELECT * REPLACE (if(sample = 1, row_key, row_key || '-' || sample) AS row_key)
FROM answers
WHERE outcome = 'ok'
