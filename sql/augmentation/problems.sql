-- One row per new problem, as it came. The failed one is in `seed`.
-- reads: answers
SELECT
    row_key,
    failure_key,
    subject,
    question AS seed,
    trim(answer ->> 'question') AS question,
    answer ->> 'difficulty' AS difficulty,
    model AS author_model
FROM answers
WHERE outcome = 'ok'
ORDER BY row_key
