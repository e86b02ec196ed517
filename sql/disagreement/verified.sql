-- The candidates in the form that the pipeline's own solver and grader read. Nothing is verified yet in spite of the
-- name: the given answer is the claim that is put to the test.
-- reads: candidates
SELECT
    row_key,
    'all' AS subject,
    'all' AS topic,
    question,
    trim(answer::VARCHAR) AS reference_answer,
    if(regexp_full_match(trim(answer::VARCHAR), '-?\d+(\.\d+)?'), 'number', 'text') AS answer_kind
FROM candidates
WHERE trim(question) <> '' AND trim(answer::VARCHAR) <> ''
ORDER BY row_key
