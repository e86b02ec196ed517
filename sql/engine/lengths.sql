-- How long the stage's answers became that were asked with one ceiling, and what all of its answers cost.
-- reads: asked, landed
-- $ceiling: the output ceiling
WITH mine AS (SELECT * FROM landed WHERE request_id IN (SELECT request_id FROM asked)),
judged AS (
    SELECT outcome = 'truncated' AS cut, input_tokens, output_tokens
    FROM mine
    WHERE ceiling = $ceiling AND outcome IN ('ok', 'invalid', 'truncated')
)
SELECT
    (SELECT count(*) FILTER (NOT cut) FROM judged) AS finished,
    (SELECT count(*) FILTER (cut) FROM judged) AS truncated,
    (SELECT quantile_disc(output_tokens, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) FILTER (NOT cut) FROM judged)
        AS deciles,
    (SELECT coalesce(round(avg(input_tokens) FILTER (cut)), 0)::BIGINT FROM judged) AS input_tokens,
    (SELECT coalesce(sum(usd), 0)::DECIMAL(24, 12) FROM mine) AS usd,
    (SELECT count(DISTINCT request_id) FILTER (outcome = 'ok') FROM mine) AS usable
