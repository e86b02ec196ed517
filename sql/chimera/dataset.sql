-- The data set: one row per verified problem and trace, labelled. The first eight columns are the published ones.
-- correctness: true (train on the trace), false (its answer is wrong or missing: problem and answer remain), NULL
-- (nobody could tell, or there is no trace). decided_by says how: rule, judge, or what was missing.
-- reads: verified, solutions, checks, judgements
WITH labelled AS (
    SELECT
        coalesce(s.row_key, v.row_key) AS row_key,
        v.row_key AS problem_key,
        s.sample,
        CASE
            WHEN s.row_key IS NULL THEN 'no trace'
            WHEN c.match = 'none' THEN c.reason
            WHEN NOT c.doubt THEN 'rule'
            WHEN j.row_key IS NOT NULL THEN 'judge'
            ELSE 'undecided'
        END AS decided_by,
        CASE
            WHEN s.row_key IS NULL THEN NULL
            WHEN NOT c.doubt THEN c.match = 'yes'
            ELSE j.same
        END AS correctness,
        coalesce(j.reason, c.reason, 'no usable answer of the solver') AS decision_reason,
        c.final_answer,
        -- the whole trace in one text: the thinking, where the host returns it apart, in front of the solution
        CASE
            WHEN trim(coalesce(s.reasoning, '')) = '' THEN s.text
            ELSE concat_ws(chr(10), '<think>', trim(s.reasoning, chr(10)), '</think>', '', s.text)
        END AS solution,
        s.solver_model
    FROM verified AS v
    LEFT JOIN solutions AS s ON s.problem_key = v.row_key
    LEFT JOIN checks AS c ON c.row_key = s.row_key
    LEFT JOIN judgements AS j ON j.row_key = s.row_key
)
SELECT
    (row_number() OVER (ORDER BY v.subject, v.topic, v.topic_id, v.slot, v.row_key, l.sample) - 1)::INTEGER AS index,
    v.subject,
    v.topic,
    v.question,
    v.reference_answer AS answer,
    v.original_solution,
    l.solution,
    l.correctness,
    l.row_key,
    l.problem_key,
    v.topic_id,
    v.area,
    v.focus,
    v.answer_kind,
    l.final_answer,
    l.decided_by,
    l.decision_reason,
    v.author_model,
    l.solver_model
FROM verified AS v
JOIN labelled AS l ON l.problem_key = v.row_key
ORDER BY index
