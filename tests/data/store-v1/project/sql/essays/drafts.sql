-- One row per draft.
-- reads: answers
SELECT row_key, topic, answer ->> 'title' AS title FROM answers WHERE outcome = 'ok'
