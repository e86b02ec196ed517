-- What was made of drafts that no answer could decide: a row per problem, numbered by part, or one row of part 0 that
-- says why there is none. Every part is a problem of its own with a key of its own.
-- reads: answers
WITH converted AS (
    SELECT
        * EXCLUDE (question),
        row_key || if(sample = 1, '', '-' || sample) AS draft_key,
        -- a draft has few parts; more than 8 are a list of exercises
        if((answer -> 'possible')::BOOLEAN, ((answer -> 'problems')::JSON[])[:8], []) AS problems
    FROM answers
    WHERE outcome = 'ok'
),
parts AS (
    SELECT *, unnest(if(len(problems) = 0, [0], range(1, len(problems) + 1))) AS part FROM converted
)
SELECT
    draft_key || '/converted' || if(part = 0, '', '-' || part) AS row_key,
    row_key AS converted_from,
    flaw,
    part::INTEGER AS part,
    topic_id,
    subject,
    area,
    topic,
    slot,
    focus,
    wave,
    problems[part] ->> 'question' AS question,
    problems[part] ->> 'answer' AS reference_answer,
    problems[part] ->> 'answer_kind' AS answer_kind,
    problems[part] ->> 'solution' AS original_solution,
    model AS author_model,
    if(part = 0, answer ->> 'why_not', NULL) AS why_not
FROM parts
ORDER BY row_key
