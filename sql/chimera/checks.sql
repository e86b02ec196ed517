-- The free check of every trace: its final answer, and whether that is the reference answer.
-- match: yes, no or unsure; none where there is nothing to compare (no working, no final answer, an answer that speaks
-- to the judge or restates the claim, a trace of another problem), so that no judge ever sees it.
-- doubt: a judge should look. decision_method, decision_evidence: what decided it, and what was held side by side.
-- A trace with its thinking fits its problem if it mentions a quarter of the problem's numbers and telling words at
-- least (trace_fits); a bare solution may name few of them.
-- reads: solutions, verified
WITH read AS MATERIALIZED (
    SELECT
        s.row_key,
        s.problem_key,
        v.question,
        v.reference_answer,
        trim(concat_ws(chr(10), s.reasoning, s.text)) AS trace,
        if(trim(coalesce(s.reasoning, '')) = '', 0.03, 0.25) AS least_fit,
        nullif(trim(final_answer(coalesce(s.text, ''))), '') AS final_answer
    FROM solutions AS s
    JOIN verified AS v ON v.row_key = s.problem_key
),
screened AS MATERIALIZED (
    SELECT
        *,
        screen_trace(trace, coalesce(final_answer, ''), question) AS screen,
        trace_fits(question, trace) AS fit
    FROM read
),
compared AS MATERIALIZED (
    SELECT
        *,
        CASE WHEN screen = 'ok' AND fit >= least_fit THEN compare_answers(reference_answer, final_answer) END AS found
    FROM screened
)
SELECT
    row_key,
    problem_key,
    final_answer,
    coalesce(found.verdict, 'none') AS match,
    coalesce(found.verdict = 'unsure', false) AS doubt,
    CASE
        WHEN screen <> 'ok' THEN screen
        WHEN found IS NULL THEN 'another problem'
        WHEN found.verdict = 'yes' THEN 'same by rule'
        WHEN found.verdict = 'no' AND found.method IN ('number', 'unit') THEN 'another number'
        WHEN found.verdict = 'no' THEN 'differs by rule'
        ELSE 'rules cannot tell'
    END AS reason,
    CASE WHEN screen <> 'ok' THEN 'screen' WHEN found IS NULL THEN 'fit' ELSE found.method END AS decision_method,
    CASE
        WHEN screen <> 'ok' THEN coalesce('final answer: ' || left(final_answer, 60), 'nothing to compare')
        WHEN found IS NULL THEN printf('mentions %d %% of what the problem speaks of', round(100 * fit)::INTEGER)
        ELSE found.evidence
    END AS decision_evidence
FROM compared
ORDER BY row_key
