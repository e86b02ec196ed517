-- The questions of benchmark files in one form, whatever the files call their columns (letter case does not count).
-- Known are the shapes of AIME and HMMT (problem, answer), HLE (question, answer, answer_type, image) and GPQA
-- (question, correct answer, incorrect answer 1 to 3). GPQA's options stand behind the question in an order that hangs
-- on the question's key and the options alone, so that it is the same for every model and every sample.
-- answer_kind: letter (graded by the letter alone), number, text. What has a picture or lacks an answer is left out.
-- reads: benchmark
WITH cells AS (
    -- "Question" of one file beside "question" of another arrives as "Question_1"
    SELECT row_key, regexp_replace(lower(trim(key)), '_\d+$', '') AS name, nullif(trim(row ->> key), '') AS value
    FROM (SELECT row_key, to_json(b) AS row, unnest(json_keys(to_json(b))) AS key FROM benchmark AS b)
),
told AS (
    SELECT
        row_key,
        max(value) FILTER (name = 'benchmark') AS benchmark,
        coalesce(max(value) FILTER (name = 'question'), max(value) FILTER (name IN ('problem', 'prompt'))) AS question,
        coalesce(max(value) FILTER (name = 'correct answer'), max(value) FILTER (name = 'answer')) AS answer,
        max(value) FILTER (name = 'answer_type') ILIKE 'multiple%' AS by_letter,
        list(value ORDER BY name) FILTER (value <> '' AND name SIMILAR TO 'incorrect answer( \d+)?') AS wrong,
        max(value) FILTER (name IN ('image', 'image_path')) AS image,
        coalesce(
            max(value) FILTER (name IN ('subject', 'category')), max(value) FILTER (name = 'high-level domain')
        ) AS subject,
        max(value) FILTER (name IN ('topic', 'subdomain', 'raw_subject')) AS topic
    FROM cells
    GROUP BY row_key
),
shuffled AS (
    SELECT
        *,
        CASE
            WHEN wrong IS NOT NULL THEN list_transform(
                list_sort(list_transform(wrong || [answer], lambda one: md5(row_key || ': ' || one) || one)),
                lambda sorted: sorted[33:]
            )
        END AS options
    FROM told
    WHERE question IS NOT NULL AND answer IS NOT NULL AND image IS NULL
)
SELECT
    row_key,
    coalesce(benchmark, nullif(regexp_replace(row_key, '/[^/]*$', ''), row_key), 'benchmark') AS benchmark,
    coalesce(subject, 'benchmark') AS subject,
    coalesce(topic, subject, 'benchmark') AS topic,
    if(
        options IS NULL,
        question,
        concat(
            question, chr(10), chr(10), 'Choose one option; the final answer is its letter.',
            list_aggregate(
                list_transform(options, lambda option, n: chr(10) || '(' || chr(64 + n::INTEGER) || ') ' || option),
                'string_agg', ''
            )
        )
    ) AS question,
    if(options IS NULL, answer, chr(64 + list_position(options, answer)::INTEGER)) AS reference_answer,
    CASE
        WHEN options IS NOT NULL OR by_letter THEN 'letter'
        WHEN regexp_full_match(answer, '-?\d+(\.\d+)?') THEN 'number'
        ELSE 'text'
    END AS answer_kind
FROM shuffled
ORDER BY row_key
