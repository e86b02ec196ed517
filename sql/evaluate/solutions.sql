-- The tries that the pipeline's grader sees: those with an answer in words or numbers. A letter needs no grader.
-- A trace that is trained on has to show its working, and to be about its problem. A benchmark grades the answer alone,
-- and hosted models hide their thinking: so the question counts as a part of it, which satisfies both checks.
-- reads: tries, verified
SELECT
    t.row_key,
    t.problem_key,
    t.sample,
    t.text,
    concat_ws(chr(10), v.question, t.reasoning) AS reasoning,
    t.solver_model
FROM tries AS t
JOIN verified AS v ON v.row_key = t.problem_key
WHERE t.usable AND t.answer_kind <> 'letter'
ORDER BY t.row_key
