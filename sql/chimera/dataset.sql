-- The data set: one row per verified problem and trace, labelled. The first eight columns are the published ones.
-- correctness: true (train on the trace), false (its answer is wrong or missing: problem and answer remain), NULL
-- (nobody could tell, there is no trace, or nothing to hold it against: the reference is disputed). decided_by says
-- how: rule, judge, or what was missing.
-- reference: verified, or disputed where nobody arrived at the answer who had not seen it (reference_checks).
-- split: by topic, so that none is on both sides; of each subject the same share: its topics with the smallest hash.
-- use: sft (a correct trace), rl (one row of a problem without one), NULL: not for training.
-- The traces, which may not fit memory together, are joined at the very end and not sorted here.
-- reads: taxonomy, verified, solutions, labels, reference_checks
-- $held_out_share: part of each subject's topics that is kept out of training, 0 to 1
WITH splits AS (
    SELECT
        row_key AS topic_id,
        if(
            row_number() OVER (PARTITION BY subject ORDER BY md5(row_key), row_key)
            <= round($held_out_share * count(*) OVER (PARTITION BY subject)),
            'held_out',
            'train'
        ) AS split
    FROM taxonomy
),
placed AS MATERIALIZED (
    SELECT
        v.*,
        row_number() OVER (ORDER BY v.subject, v.topic, v.topic_id, v.slot, v.row_key, l.sample) - 1 AS index,
        l.row_key AS trace_key,
        l.* EXCLUDE (row_key, problem_key, sample),
        r.reference,
        coalesce(p.split, 'train') AS split,
        coalesce(bool_or(l.correctness) OVER same_problem, false) AS solved,
        row_number() OVER (same_problem ORDER BY l.sample) = 1 AS first_trace
    FROM verified AS v
    JOIN reference_checks AS r ON r.row_key = v.row_key
    LEFT JOIN splits AS p ON p.topic_id = v.topic_id
    LEFT JOIN labels AS l ON l.problem_key = v.row_key
    WINDOW same_problem AS (PARTITION BY v.row_key)
)
SELECT
    p.index::INTEGER AS index,
    p.subject,
    p.topic,
    p.question,
    p.reference_answer AS answer,
    p.original_solution,
    -- the whole trace in one text: the thinking, where the host returns it apart, in front of the solution
    CASE
        WHEN trim(coalesce(s.reasoning, '')) = '' THEN s.text
        ELSE concat_ws(chr(10), '<think>', trim(s.reasoning, chr(10)), '</think>', '', s.text)
    END AS solution,
    if(p.reference = 'verified', p.correctness, NULL) AS correctness,
    coalesce(p.trace_key, p.row_key) AS row_key,
    p.row_key AS problem_key,
    p.topic_id,
    p.area,
    p.focus,
    p.answer_kind,
    p.final_answer,
    coalesce(p.decided_by, 'no trace') AS decided_by,
    p.decision_method,
    p.decision_evidence,
    coalesce(p.decision_reason, 'no usable answer of the solver') AS decision_reason,
    p.reference,
    p.split,
    CASE
        WHEN p.split <> 'train' OR p.reference <> 'verified' THEN NULL
        WHEN p.correctness THEN 'sft'
        WHEN NOT p.solved AND p.first_trace THEN 'rl'
    END AS use,
    p.author_model,
    s.solver_model
FROM solutions AS s  -- the largest table is read through and never held
RIGHT JOIN placed AS p ON s.row_key = p.trace_key
