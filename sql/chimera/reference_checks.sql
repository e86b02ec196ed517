-- Can the reference answer be trusted? 'verified': somebody who never saw it arrived at it, a trace or the arbiter; the
-- arbiter where the verifiers disagree about it. A number has to be the same by rule, no judge's word makes it so.
-- 'disputed': nobody did, whatever the verifiers said, who had seen it before they agreed with it.
-- confirmed_by: trace, arbiter, or NULL. reason: in words.
-- reads: verified, labels, arbitration, arbitration_judgements
WITH blind AS (
    SELECT
        v.row_key,
        v.contested,
        v.contested IS NOT true AND coalesce(if(v.answer_kind = 'number', l.solved, l.judged), false) AS solved,
        l.final_answers,
        coalesce(a.match = 'yes' OR j.same, false) AS confirmed,
        a.own_answer AS arbiter_answer,
        a.match AS arbiter_match,
        a.solvable,
        coalesce(
            list_bool_or(list_transform(l.final_answers, lambda one: answers_match(one, a.own_answer) = 'yes')), false
        ) AS agreed
    FROM verified AS v
    LEFT JOIN (
        SELECT
            problem_key,
            bool_or(correctness) AS judged,
            bool_or(correctness AND decided_by = 'rule') AS solved,
            list(DISTINCT final_answer ORDER BY final_answer) FILTER (final_answer IS NOT NULL) AS final_answers
        FROM labels
        GROUP BY problem_key
    ) AS l ON l.problem_key = v.row_key
    LEFT JOIN arbitration AS a ON a.row_key = v.row_key
    LEFT JOIN arbitration_judgements AS j ON j.row_key = v.row_key
)
SELECT
    row_key,
    contested,
    if(solved OR confirmed, 'verified', 'disputed') AS reference,
    CASE WHEN solved THEN 'trace' WHEN confirmed THEN 'arbiter' END AS confirmed_by,
    final_answers,
    arbiter_answer,
    CASE
        WHEN solved THEN 'a trace arrives at it'
        WHEN confirmed THEN 'the arbiter arrives at it'
        WHEN arbiter_match IS NULL THEN 'no trace decides it, and no answer of the arbiter'
        WHEN solvable IS false THEN 'the arbiter finds the problem not solvable'
        WHEN agreed THEN 'a trace and the arbiter agree on another answer'
        WHEN contested THEN 'the verifiers disagree, and the arbiter arrives at another answer'
        ELSE 'nobody arrives at it who did not see it'
    END AS reason
FROM blind
ORDER BY row_key
