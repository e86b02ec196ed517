-- Which verifier should be asked first? The kept problems are the same either way, those that both keep; what differs
-- is how often the second one is asked. What it thinks of the first one's rejects is known from the audited sample,
-- weighted.
-- reads: verdict_a, verdict_b, costs
WITH seen AS (
    SELECT
        a.kept AS a_keeps,
        b.kept AS b_keeps,
        -- every reject of a that b saw stands for as many rejects of a as there are for each one seen
        if(
            a.kept,
            1,
            count(*) FILTER (NOT a.kept) OVER () / nullif(count(b.row_key) FILTER (NOT a.kept) OVER (), 0)
        ) AS weight
    FROM verdict_a AS a
    LEFT JOIN verdict_b AS b ON b.row_key = a.row_key
),
shares AS (
    SELECT
        avg(if(a_keeps, 0, 1)) AS a_rejects,
        sum(weight) FILTER (NOT b_keeps) / sum(weight) FILTER (b_keeps IS NOT NULL) AS b_rejects
    FROM seen
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
