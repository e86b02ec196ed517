-- Every new problem and what became of it: kept if two answers to it, found independently, match by rule. What rules
-- cannot decide counts as no match, so that no judge is paid to rescue what may be ambiguous.
-- answer and solution are the first of the two.
-- reads: drafts, answered
WITH pairs AS (
    SELECT
        a.problem_key,
        a.final_answer AS answer,
        b.final_answer AS second_answer,
        a.solution,
        a.solver_model,
        answers_match(a.final_answer, b.final_answer) AS match
    FROM answered AS a
    JOIN answered AS b ON b.problem_key = a.problem_key AND b.sample = 2
    WHERE a.sample = 1
)
SELECT
    d.row_key,
    d.failure_key,
    d.subject,
    d.question,
    p.answer,
    p.second_answer,
    p.solution,
    d.difficulty,
    coalesce(p.match = 'yes', false) AS kept,
    CASE
        WHEN d.reason <> 'ok' THEN d.reason
        WHEN p.answer IS NULL OR p.second_answer IS NULL THEN 'no two answers'
        WHEN p.match = 'yes' THEN 'two answers match'
        WHEN p.match = 'no' THEN 'two answers differ'
        ELSE 'rules cannot tell'
    END AS reason,
    d.author_model,
    p.solver_model
FROM drafts AS d
LEFT JOIN pairs AS p ON p.problem_key = d.row_key
ORDER BY d.row_key
