-- What the judge is asked: the parts of those answers about which the free check is in doubt. Most answers have one
-- part without a label, and keep the key of their trace.
-- reads: checks, verified
WITH parted AS (
    SELECT
        c.row_key AS trace_key,
        v.subject,
        v.topic,
        v.question,
        unnest(compare_parts(v.reference_answer, c.final_answer)) AS one
    FROM checks AS c
    JOIN verified AS v ON v.row_key = c.problem_key
    WHERE c.doubt
)
SELECT
    trace_key || if(one.part = '', '', '#' || one.part) AS row_key,
    question,
    if(one.part = '', 'the whole answer', one.part) AS part,
    one.reference AS reference_answer,
    one.candidate AS candidate_answer
FROM parted
WHERE one.verdict = 'unsure'
ORDER BY subject, topic, row_key
