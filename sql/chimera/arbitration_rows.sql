-- What the arbiter solves: the problems whose reference answer no trace arrived at, and those about whose answer the
-- verifiers disagree. Either the one side is wrong or the other; only another solution that never saw the answer can
-- tell. That a judge took another number for the reference is not enough: it may be a wrong digit. The arbiter is shown
-- the bare problem (the reference answer is for the comparison).
-- reads: verified, labels
SELECT v.row_key, v.question, v.reference_answer
FROM verified AS v
LEFT JOIN (
    SELECT problem_key, bool_or(correctness) AS judged, bool_or(correctness AND decided_by = 'rule') AS solved
    FROM labels
    GROUP BY problem_key
) AS l ON l.problem_key = v.row_key
WHERE v.contested OR if(v.answer_kind = 'number', l.solved, l.judged) IS NOT true
ORDER BY v.subject, v.topic, v.row_key
