-- How often the two verifiers agree, by subject and in all, estimated for all candidates. Verifier b sees what a kept,
-- what a rejected for nothing but its answer, and only a sample of a's other rejects (the parameter audit_share), so
-- each of its verdicts stands for as many candidates as there are of that kind for each one seen.
-- pairs: problems that both judged, on which all this rests; of them audited were rejected outright by a. weight: what
-- one of those counts. agreement: the estimated part on which they agree, give or take 1.96 standard_error. kappa:
-- Cohen's, on the weighted counts. All three are NULL where a rejected something and b saw nothing of it.
-- contested: one keeps, the other objects to the answer alone. stands, falls: what became of those answers once others
-- had solved the problem without seeing them.
-- reads: candidates, verdict_a, verdict_b, reference_checks
WITH judged AS (
    SELECT
        c.subject,
        coalesce(a.objection, 'kept') AS said,
        a.kept AS a_keeps,
        b.kept AS b_keeps,
        r.reference
    FROM candidates AS c
    JOIN verdict_a AS a ON a.row_key = c.row_key
    LEFT JOIN verdict_b AS b ON b.row_key = c.row_key
    LEFT JOIN reference_checks AS r ON r.row_key = c.row_key AND r.contested
),
strata AS (
    -- one for each thing that a can say; of what b never saw in one, nothing is known
    SELECT
        coalesce(subject, 'all') AS subject,
        grouping(subject) AS whole,
        a_keeps,
        said,
        count(*) AS rows,
        count(b_keeps) AS seen,
        count(*) FILTER (b_keeps) AS b_kept,
        count(*) FILTER (reference = 'verified') AS stand,
        count(*) FILTER (reference = 'disputed') AS fall,
        count(*) / sum(count(*)) OVER (PARTITION BY grouping(subject), subject) AS share,
        b_kept / nullif(seen, 0) AS b_keeps
    FROM judged
    GROUP BY GROUPING SETS ((subject, a_keeps, said), (a_keeps, said))
),
weighed AS (
    SELECT
        subject,
        whole,
        coalesce(sum(rows) FILTER (a_keeps), 0)::BIGINT AS kept_by_a,
        coalesce(sum(rows) FILTER (NOT a_keeps), 0)::BIGINT AS rejected_by_a,
        sum(seen)::BIGINT AS pairs,
        coalesce(sum(seen) FILTER (said = 'problem'), 0)::BIGINT AS audited,
        sum(rows) FILTER (said = 'problem') / nullif(sum(seen) FILTER (said = 'problem'), 0) AS weight,
        coalesce(sum(b_kept) FILTER (a_keeps), 0)::BIGINT AS both_keep,
        coalesce(sum(seen - b_kept) FILTER (a_keeps), 0)::BIGINT AS a_keeps_b_rejects,
        coalesce(sum(b_kept) FILTER (NOT a_keeps), 0)::BIGINT AS a_rejects_b_keeps,
        coalesce(sum(seen - b_kept) FILTER (NOT a_keeps), 0)::BIGINT AS both_reject,
        (sum(stand) + sum(fall))::BIGINT AS contested,
        sum(stand)::BIGINT AS stands,
        sum(fall)::BIGINT AS falls,
        bool_and(b_keeps IS NOT NULL) AS known,
        sum(share * if(a_keeps, b_keeps, 1 - b_keeps)) AS agreement,
        coalesce(sum(share) FILTER (a_keeps), 0) AS a_keeps,
        sum(share * b_keeps) AS b_keeps,
        sqrt(sum(share ** 2 * b_keeps * (1 - b_keeps) / nullif(seen, 0))) AS standard_error
    FROM strata
    GROUP BY subject, whole
)
SELECT
    subject,
    kept_by_a,
    rejected_by_a,
    pairs,
    audited,
    round(weight, 2) AS weight,
    both_keep,
    a_keeps_b_rejects,
    a_rejects_b_keeps,
    both_reject,
    contested,
    stands,
    falls,
    if(known, round(agreement, 4), NULL) AS agreement,
    if(known, round(standard_error, 4), NULL) AS standard_error,
    if(
        known,
        round(
            (agreement - (a_keeps * b_keeps + (1 - a_keeps) * (1 - b_keeps)))
            / nullif(1 - (a_keeps * b_keeps + (1 - a_keeps) * (1 - b_keeps)), 0),
            4
        ),
        NULL
    ) AS kappa
FROM weighed
ORDER BY whole DESC, subject
