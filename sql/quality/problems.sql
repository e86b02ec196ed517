-- The problems that are compared, by set: ours, and one set for each benchmark file, under the file's name. subject is
-- NULL where a file has none. Another run's data set is one more branch: FROM the stage that holds it.
-- reads: ours, benchmark
WITH cells AS (
    -- "Question" of one file beside "question" of another arrives as "Question_1"
    SELECT row_key, regexp_replace(lower(trim(key)), '_\d+$', '') AS name, nullif(trim(row ->> key), '') AS value
    FROM (SELECT row_key, to_json(b) AS row, unnest(json_keys(to_json(b))) AS key FROM benchmark AS b)
),
told AS (
    SELECT
        row_key,
        coalesce(nullif(regexp_replace(row_key, '/[^/]*$', ''), row_key), 'benchmark') AS problem_set,
        max(value) FILTER (name IN ('subject', 'category', 'high-level domain')) AS subject,
        coalesce(max(value) FILTER (name = 'question'), max(value) FILTER (name IN ('problem', 'prompt'))) AS question
    FROM cells
    GROUP BY row_key
    HAVING question IS NOT NULL AND max(value) FILTER (name IN ('image', 'image_path')) IS NULL
)
SELECT row_key, problem_set, subject, question FROM told
UNION ALL
SELECT 'ours/' || problem_key, 'ours', any_value(subject), any_value(question) FROM ours GROUP BY problem_key
ORDER BY row_key
