-- The questions of all benchmark files, whatever their columns are called (letter case does not count). benchmark: the
-- file's name. words: the normal form in which wording is compared (text_key: lower case, no punctuation; operators
-- and numbers are words).
-- reads: benchmark
WITH cells AS (
    -- "Question" of one file beside "question" of another arrives as "Question_1"
    SELECT row_key, regexp_replace(lower(trim(key)), '_\d+$', '') AS name, nullif(trim(row ->> key), '') AS value
    FROM (SELECT row_key, to_json(b) AS row, unnest(json_keys(to_json(b))) AS key FROM benchmark AS b)
),
told AS (
    SELECT
        row_key,
        coalesce(
            max(value) FILTER (name = 'question'),
            max(value) FILTER (name IN ('problem', 'prompt', 'instruction'))
        ) AS question
    FROM cells
    GROUP BY row_key
)
SELECT
    row_key,
    coalesce(nullif(regexp_replace(row_key, '/[^/]*$', ''), row_key), 'benchmark') AS benchmark,
    question,
    text_key(question) AS words
FROM told
WHERE question IS NOT NULL
ORDER BY row_key
