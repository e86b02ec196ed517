-- One row per review.
-- reads: answers
SELECT row_key, title, answer -> 'good' AS good FROM answers WHERE outcome = 'ok'
