-- What was paid, by stage and model, beside what was quoted, with what a request, a usable answer and a kept row came
-- to; the last row is the sum.
-- What belongs to a stage as a whole stands in the row of its first model: the quote, what is suspected (possibly
-- charged, never delivered), the kept rows. In the last row the kept rows are those of the last table.
-- reads: costs, stages
WITH paid AS (
    SELECT
        stage,
        model,
        sum(requests)::BIGINT AS requests,
        coalesce(sum(requests) FILTER (outcome = 'ok'), 0)::BIGINT AS ok,
        sum(input_tokens)::BIGINT AS input_tokens,
        sum(cached_tokens)::BIGINT AS cached_tokens,
        sum(output_tokens)::BIGINT AS output_tokens,
        sum(usd) AS usd,
        coalesce(sum(usd) FILTER (outcome <> 'ok'), 0) AS usd_for_nothing,
        row_number() OVER (PARTITION BY stage ORDER BY model) = 1 AS first
    FROM costs
    GROUP BY stage, model
),
said AS (
    SELECT * FROM stages WHERE usd_spent > 0 OR usd_suspected > 0 OR quoted_likely IS NOT NULL
),
lines AS (
    SELECT
        s.place,
        coalesce(p.stage, s.stage) AS stage,
        p.* EXCLUDE (stage),
        if(p.first IS NOT false, s.quoted_low, NULL) AS quoted_low,
        if(p.first IS NOT false, s.quoted_likely, NULL) AS quoted_likely,
        if(p.first IS NOT false, s.quoted_high, NULL) AS quoted_high,
        if(p.first IS NOT false, s.usd_suspected, NULL) AS usd_suspected,
        if(p.first IS NOT false, s.rows_kept, NULL) AS rows_kept,
        if(p.first IS NOT false, s.usd_per_kept_row, NULL) AS usd_per_kept_row
    FROM paid AS p
    FULL JOIN said AS s ON s.stage = p.stage
),
last_table AS (SELECT arg_max(rows, place) AS rows FROM stages)
SELECT
    coalesce(stage, 'all') AS stage,
    model,
    coalesce(sum(requests), 0)::BIGINT AS requests,
    coalesce(sum(ok), 0)::BIGINT AS ok,
    coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens,
    coalesce(sum(cached_tokens), 0)::BIGINT AS cached_tokens,
    coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens,
    coalesce(sum(usd), 0) AS usd,
    round(sum(output_tokens) / nullif(sum(requests), 0), 1) AS output_tokens_per_request,
    round(sum(usd)::DOUBLE / nullif(sum(ok), 0) * 1000, 4) AS usd_per_1000_ok,
    coalesce(sum(usd_for_nothing), 0) AS usd_for_nothing,
    sum(quoted_low) AS quoted_low,
    sum(quoted_likely) AS quoted_likely,
    sum(quoted_high) AS quoted_high,
    coalesce(sum(usd_suspected), 0) AS usd_suspected,
    if(grouping(stage) = 1, any_value(t.rows), sum(rows_kept)::BIGINT) AS rows_kept,
    round(
        if(grouping(stage) = 1, sum(usd)::DOUBLE / nullif(any_value(t.rows), 0), any_value(usd_per_kept_row)), 9
    ) AS usd_per_kept_row
FROM lines, last_table AS t
GROUP BY GROUPING SETS ((place, stage, model), ())
ORDER BY grouping(stage), place, lines.stage, model
