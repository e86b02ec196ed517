-- The passages with what was said of them.
-- reads: answers
SELECT row_key, subject, topic, (answer ->> 'keep')::BOOLEAN AS kept, answer ->> 'note' AS note
FROM answers
WHERE outcome = 'ok'
