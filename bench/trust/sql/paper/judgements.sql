-- The judge's word on each trace.
-- reads: answers
SELECT row_key, (answer -> 'same')::BOOLEAN AS same
FROM answers
WHERE outcome = 'ok'
ORDER BY row_key
