-- How often the two verifiers agree, by subject and in all, estimated for all candidates. Verifier b sees what a kept
-- and only a sample of what a rejected (the parameter audit_share), so each of its verdicts stands for as many
-- candidates as there are of that kind for each one seen.
-- pairs: problems that both judged, on which all this rests; of them audited were rejected by a. weight: what one of
-- those counts. agreement: the estimated part on which they agree, give or take 1.96 standard_error; kappa: Cohen's, on
-- the weighted counts. All three are NULL where a rejected something and b saw nothing of it.
-- reads: candidates, verdict_a, verdict_b
WITH judged AS (
    SELECT c.subject, a.kept AS a_keeps, b.kept AS b_keeps
    FROM candidates AS c
    JOIN verdict_a AS a ON a.row_key = c.row_key
    LEFT JOIN verdict_b AS b ON b.row_key = c.row_key
),
counted AS (
    SELECT
        coalesce(subject, 'all') AS subject,
        grouping(subject) AS whole,
        count(*) FILTER (a_keeps) AS kept_by_a,
        count(*) FILTER (NOT a_keeps) AS rejected_by_a,
        count(b_keeps) AS pairs,
        count(b_keeps) FILTER (NOT a_keeps) AS audited,
        count(*) FILTER (a_keeps AND b_keeps) AS both_keep,
        count(*) FILTER (a_keeps AND NOT b_keeps) AS a_keeps_b_rejects,
        count(*) FILTER (NOT a_keeps AND b_keeps) AS a_rejects_b_keeps,
        count(*) FILTER (NOT a_keeps AND NOT b_keeps) AS both_reject
    FROM judged
    GROUP BY GROUPING SETS ((subject), ())
),
strata AS (
    -- the part of the candidates that a kept; of those and of the others the part that b keeps: of nothing it is
    -- nothing, of what b never saw it is not known
    SELECT
        *,
        kept_by_a / nullif(kept_by_a + rejected_by_a, 0) AS keeps,
        if(kept_by_a = 0, 0, both_keep / nullif(pairs - audited, 0)) AS b_keeps_kept,
        if(rejected_by_a = 0, 0, a_rejects_b_keeps / nullif(audited, 0)) AS b_keeps_rejected
    FROM counted
),
weighed AS (
    SELECT
        *,
        keeps * b_keeps_kept + (1 - keeps) * (1 - b_keeps_rejected) AS agreement,
        keeps * b_keeps_kept + (1 - keeps) * b_keeps_rejected AS b_keeps,
        sqrt(
            keeps ** 2 * b_keeps_kept * (1 - b_keeps_kept) / greatest(pairs - audited, 1)
            + (1 - keeps) ** 2 * b_keeps_rejected * (1 - b_keeps_rejected) / greatest(audited, 1)
        ) AS standard_error
    FROM strata
)
SELECT
    subject,
    kept_by_a,
    rejected_by_a,
    pairs,
    audited,
    round(rejected_by_a / nullif(audited, 0), 2) AS weight,
    both_keep,
    a_keeps_b_rejects,
    a_rejects_b_keeps,
    both_reject,
    round(agreement, 4) AS agreement,
    round(standard_error, 4) AS standard_error,
    round(
        (agreement - (keeps * b_keeps + (1 - keeps) * (1 - b_keeps)))
        / nullif(1 - (keeps * b_keeps + (1 - keeps) * (1 - b_keeps)), 0),
        4
    ) AS kappa
FROM weighed
ORDER BY whole DESC, subject
