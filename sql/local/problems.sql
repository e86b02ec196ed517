-- Every draft that came back as a problem. As chimera/problems.sql, but for the name of its topic: the search for equal
-- problems looks at a question without the name of its topic, and here the rest of a question is the same for all.
-- With its area in front ("Countries of Europe: France") the name is not found in the question and stays in.
-- reads: answers
SELECT
    row_key || if(sample = 1, '', '-' || sample) AS row_key,
    topic_id,
    subject,
    area,
    area || ': ' || topic AS topic,
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
