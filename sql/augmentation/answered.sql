-- One row per regenerated answer, with its final answer.
-- reads: answers
SELECT
    row_key || '/' || sample AS row_key,
    row_key AS problem_key,
    sample,
    nullif(trim(final_answer(coalesce(text, ''))), '') AS final_answer,
    if(
        trim(coalesce(reasoning, '')) = '',
        text,
        concat_ws(chr(10), '<think>', trim(reasoning, chr(10)), '</think>', '', text)
    ) AS solution,
    model AS solver_model
FROM answers
WHERE outcome = 'ok'
ORDER BY row_key
