-- The data set: one row per verified problem and trace, labelled. The first eight columns are the published ones.
-- correctness: true (train on the trace), false (its answer is wrong or missing: problem and answer remain), NULL
-- (nobody could tell, there is no trace, or nothing to hold it against: the reference is disputed). decided_by says
-- how: rule, judge, or what was missing.
-- reference: verified, or disputed where nobody arrived at the answer who had not seen it (reference_checks).
-- split: by topic, so that none is on both sides; of each subject the same share: its topics with the smallest hash.
-- use: sft (a correct trace), rl (one row of a problem without one), NULL: not for training.
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
traces AS (
    SELECT
        s.row_key,
        s.problem_key,
        s.sample,
        -- the whole trace in one text: the thinking, where the host returns it apart, in front of the solution
        CASE
            WHEN trim(coalesce(s.reasoning, '')) = '' THEN s.text
            ELSE concat_ws(chr(10), '<think>', trim(s.reasoning, chr(10)), '</think>', '', s.text)
        END AS solution,
        l.* EXCLUDE (row_key, problem_key, sample),
        s.solver_model
    FROM solutions AS s
    JOIN labels AS l ON l.row_key = s.row_key
),
joined AS (
    SELECT
        v.* EXCLUDE (row_key),
        t.* EXCLUDE (row_key, problem_key),
        coalesce(t.row_key, v.row_key) AS row_key,
        v.row_key AS problem_key,
        r.reference,
        coalesce(p.split, 'train') AS split,
        coalesce(bool_or(t.correctness) OVER same_problem, false) AS solved,
        row_number() OVER (same_problem ORDER BY t.sample) = 1 AS first_trace
    FROM verified AS v
    JOIN reference_checks AS r ON r.row_key = v.row_key
    LEFT JOIN splits AS p ON p.topic_id = v.topic_id
    LEFT JOIN traces AS t ON t.problem_key = v.row_key
    WINDOW same_problem AS (PARTITION BY v.row_key)
)
SELECT
    (row_number() OVER (ORDER BY subject, topic, topic_id, slot, problem_key, sample) - 1)::INTEGER AS index,
    subject,
    topic,
    question,
    reference_answer AS answer,
    original_solution,
    solution,
    if(reference = 'verified', correctness, NULL) AS correctness,
    row_key,
    problem_key,
    topic_id,
    area,
    focus,
    answer_kind,
    final_answer,
    coalesce(decided_by, 'no trace') AS decided_by,
    decision_method,
    decision_evidence,
    coalesce(decision_reason, 'no usable answer of the solver') AS decision_reason,
    reference,
    split,
    CASE
        WHEN split <> 'train' OR reference <> 'verified' THEN NULL
        WHEN correctness THEN 'sft'
        WHEN NOT solved AND first_trace THEN 'rl'
    END AS use,
    author_model,
    solver_model
FROM joined
ORDER BY index
