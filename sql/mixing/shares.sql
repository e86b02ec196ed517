-- What the mix holds of each part, beside what there was: rows, tokens, share of the mix, part of what there was.
-- reads: candidates, base, mix
-- $candidate_share: share of the tokens that the candidates were to have
WITH there AS (
    SELECT part, count(*) AS rows, sum(tokens) AS tokens
    FROM (SELECT part, tokens FROM candidates UNION ALL SELECT part, tokens FROM base)
    GROUP BY part
),
taken AS (
    SELECT part, count(*) AS rows, sum(tokens) AS tokens
    FROM mix
    GROUP BY part
)
SELECT
    t.part AS row_key,
    coalesce(m.rows, 0) AS rows,
    coalesce(m.tokens, 0)::BIGINT AS tokens,
    round(coalesce(m.tokens, 0) / sum(m.tokens) OVER (), 4) AS share,
    if(t.part = 'candidate', $candidate_share, 1 - $candidate_share)::DOUBLE AS wanted_share,
    t.rows AS rows_there,
    t.tokens::BIGINT AS tokens_there
FROM there AS t
LEFT JOIN taken AS m ON m.part = t.part
ORDER BY row_key
