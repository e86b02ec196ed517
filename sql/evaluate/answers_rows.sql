-- What each model is asked: the questions as they stand.
-- reads: verified
SELECT row_key, question
FROM verified
ORDER BY benchmark, row_key
