-- What the arbiter solves: the problems whose reference answer no trace arrived at. Either the traces are wrong or the
-- reference is; only another solution that never saw it can tell. It is shown the bare problem (the other columns are
-- for the comparison).
-- reads: verified, labels
SELECT v.row_key, v.question, v.reference_answer
FROM verified AS v
LEFT JOIN (SELECT problem_key, bool_or(correctness) AS solved FROM labels GROUP BY problem_key) AS l
    ON l.problem_key = v.row_key
WHERE l.solved IS NOT true
ORDER BY v.subject, v.topic, v.row_key
