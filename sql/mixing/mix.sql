-- The mix to train on: rows of both parts, in an order that a digest of seed and row key gives, until each part's share
-- of the tokens is filled; what is missing of it is less than one row. The same files and seed give the same rows on
-- every machine, a larger mix only adds rows, and mixes of one seed have the same base rows: what differs between two
-- mixes is their candidates. place: the order to train in, both parts well shuffled.
-- reads: candidates, base
-- $tokens: size of the mix; null: as large as the scarcer part allows
-- $candidate_share: share of the tokens that the candidates have (0.2)
-- $seed: which draw
WITH every AS (
    SELECT * FROM candidates
    UNION ALL BY NAME
    SELECT * FROM base
),
sized AS (
    SELECT
        coalesce(
            $tokens::BIGINT,
            least(
                sum(tokens) FILTER (part = 'candidate') / nullif($candidate_share, 0),
                sum(tokens) FILTER (part = 'base') / nullif(1 - $candidate_share, 0)
            )
        ) AS size
    FROM every
),
drawn AS (
    SELECT
        *,
        -- another digest than the one that draws: else the part with more rows to choose from comes first
        md5('place ' || $seed || ': ' || part || '/' || row_key) AS draw,
        sum(tokens) OVER (PARTITION BY part ORDER BY md5($seed || ': ' || part || '/' || row_key), row_key) AS so_far
    FROM every
)
SELECT
    d.part || '/' || d.row_key AS row_key,
    (row_number() OVER (ORDER BY d.draw, d.row_key))::INTEGER AS place,
    d.part,
    d.text,
    d.tokens
FROM drawn AS d, sized AS s
WHERE d.so_far <= s.size * if(d.part = 'candidate', $candidate_share, 1 - $candidate_share)
ORDER BY row_key
