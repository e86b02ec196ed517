-- The questions of all benchmark files, whatever their columns are called. benchmark: the file's name. words: the normal
-- form in which wording is compared (text_key: lower case, no punctuation; operators and numbers are words).
-- reads: benchmark
WITH read AS (SELECT row_key, to_json(b) AS told FROM benchmark AS b),
named AS (
    SELECT
        row_key,
        if(contains(row_key, '/'), regexp_replace(row_key, '/[^/]*$', ''), 'benchmark') AS benchmark,
        coalesce(
            told ->> '$.question', told ->> '$.Question', told ->> '$.problem', told ->> '$.Problem',
            told ->> '$.prompt', told ->> '$.instruction'
        ) AS question
    FROM read
)
SELECT *, text_key(question) AS words
FROM named
WHERE question IS NOT NULL
ORDER BY row_key
