-- Every trace and how its final answer was decided, against the reference answer of its problem.
-- correctness: true (the same answer), false (another one, or none), NULL (nobody could tell). decided_by: rule, judge,
-- undecided, or what was missing. decision_method, decision_evidence: by what, and on which values.
-- reads: solutions, checks, judgements
SELECT
    s.row_key,
    s.problem_key,
    s.sample,
    CASE WHEN NOT c.doubt THEN c.match = 'yes' ELSE j.same END AS correctness,
    CASE
        WHEN c.match = 'none' THEN c.reason
        WHEN NOT c.doubt THEN 'rule'
        WHEN j.row_key IS NOT NULL THEN 'judge'
        ELSE 'undecided'
    END AS decided_by,
    c.final_answer,
    if(j.row_key IS NULL, c.decision_method, 'judge') AS decision_method,
    concat_ws('; ', c.decision_evidence, j.yes_votes || ' of ' || j.votes || ' votes: the same') AS decision_evidence,
    coalesce(j.reason, c.reason) AS decision_reason
FROM solutions AS s
JOIN checks AS c ON c.row_key = s.row_key
LEFT JOIN judgements AS j ON j.row_key = s.row_key
ORDER BY s.row_key
