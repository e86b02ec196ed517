-- Which verifier should be asked first? The kept problems are the same either way; what differs is how often the second
-- one is asked: about all that the first one does not reject outright (for more than its answer). What b thinks of what
-- a rejects outright is known from the audited sample, weighted.
-- reads: verdict_a, verdict_b, costs
WITH seen AS (
    SELECT
        a.objection IS NOT DISTINCT FROM 'problem' AS a_rejects,
        b.row_key IS NOT NULL AS asked,
        b.objection IS NOT DISTINCT FROM 'problem' AS b_rejects
    FROM verdict_a AS a
    LEFT JOIN verdict_b AS b ON b.row_key = a.row_key
),
weighed AS (
    -- every outright reject of a that b saw stands for as many as there are for each one seen
    SELECT
        *,
        if(
            a_rejects,
            count(*) FILTER (a_rejects) OVER () / nullif(count(*) FILTER (a_rejects AND asked) OVER (), 0),
            1
        ) AS weight
    FROM seen
),
shares AS (
    SELECT
        avg(if(a_rejects, 1, 0)) AS a_rejects,
        sum(weight) FILTER (asked AND b_rejects) / sum(weight) FILTER (asked) AS b_rejects
    FROM weighed
),
prices AS (
    SELECT
        sum(usd) FILTER (stage = 'verdict_a') / (SELECT count(*) FROM verdict_a) AS a_usd,
        sum(usd) FILTER (stage = 'verdict_b') / (SELECT count(*) FROM verdict_b) AS b_usd
    FROM costs
)
SELECT
    o.first_asked,
    round(if(o.first_asked = 'verdict_a', s.a_rejects, s.b_rejects), 4) AS first_rejects,
    round(if(o.first_asked = 'verdict_a', p.a_usd, p.b_usd)::DOUBLE, 8) AS usd_a_question,
    round(
        if(
            o.first_asked = 'verdict_a',
            p.a_usd / nullif(s.a_rejects, 0),
            p.b_usd / nullif(s.b_rejects, 0)
        )::DOUBLE,
        8
    ) AS usd_a_rejection,
    round(
        if(
            o.first_asked = 'verdict_a',
            p.a_usd + (1 - s.a_rejects) * p.b_usd,
            p.b_usd + (1 - s.b_rejects) * p.a_usd
        )::DOUBLE,
        8
    ) AS usd_a_candidate,
    round((p.a_usd + p.b_usd)::DOUBLE, 8) AS usd_if_both_are_asked
FROM shares AS s, prices AS p, (VALUES ('verdict_a'), ('verdict_b')) AS o (first_asked)
ORDER BY usd_a_candidate
