-- Every draft that came back as a problem.
-- reads: answers
SELECT
    row_key || if(sample = 1, '', '-' || sample) AS row_key,
    topic_id,
    subject,
    area,
    topic,
    slot,
    focus,
    round AS wave,
    answer ->> 'question' AS question,
    answer ->> 'answer' AS reference_answer,
    answer ->> 'answer_kind' AS answer_kind,
    answer ->> 'solution' AS original_solution,
    model AS author_model
FROM answers
WHERE outcome = 'ok'
ORDER BY row_key
