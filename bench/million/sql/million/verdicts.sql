-- The second opinions.
-- reads: answers
SELECT row_key, subject, (answer ->> 'keep')::BOOLEAN AS kept
FROM answers
WHERE outcome = 'ok'
