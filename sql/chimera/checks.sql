-- The free check of every trace: its final answer, and whether that is the reference answer.
-- match: yes, no or unsure; none where there is nothing to compare, so that no judge ever sees an empty trace.
-- doubt: a judge should look. A rule's yes is trusted; its no only where both sides are numbers.
-- reads: solutions, verified
WITH read AS MATERIALIZED (
    SELECT
        row_key,
        problem_key,
        length(trim(coalesce(reasoning, ''))) + length(trim(coalesce(text, ''))) AS characters,
        nullif(trim(final_answer(coalesce(text, ''))), '') AS final_answer
    FROM solutions
),
compared AS (
    SELECT
        r.row_key, r.problem_key, r.characters, r.final_answer, v.answer_kind,
        CASE
            WHEN r.characters < 80 OR r.final_answer IS NULL THEN 'none'
            ELSE answers_match(v.reference_answer, r.final_answer)
        END AS match
    FROM read AS r
    JOIN verified AS v ON v.row_key = r.problem_key
)
SELECT
    row_key,
    problem_key,
    final_answer,
    match,
    match = 'unsure' OR (match = 'no' AND answer_kind <> 'number') AS doubt,
    CASE
        WHEN characters < 80 THEN 'no working'
        WHEN final_answer IS NULL THEN 'no final answer'
        WHEN match = 'yes' THEN 'same by rule'
        WHEN match = 'no' AND answer_kind = 'number' THEN 'another number'
        WHEN match = 'no' THEN 'differs by rule'
        ELSE 'rules cannot tell'
    END AS reason
FROM compared
ORDER BY row_key
