-- Where the money went that did not end in the data set, and why: by the stage that paid and the reason; the last row
-- is the sum. part: of all that the stage was billed. looked_in: the table in which the row is missing.
-- reason: an outcome that is no usable answer, however often it was asked again with success; 'rejected later' for a
-- usable answer whose row is not in the last table that knows rows of the stage by their keys, as far as that is made;
-- 'no longer asked' for answers to rows that were edited away. What no later table knows by its key counts as kept.
-- reads: outcomes
WITH charges AS (
    -- rows that ask for the same request share it: it is wasted only if all of them are
    SELECT
        paid_by,
        outcome,
        any_value(input_tokens) AS input_tokens,
        any_value(output_tokens) AS output_tokens,
        any_value(usd) AS usd,
        count(row_key) = 0 AS orphaned,
        coalesce(bool_and(kept IS false), false) AS rejected,
        max(looked_in) AS looked_in
    FROM outcomes
    GROUP BY paid_by, realm, shard, attempt, request_id, outcome
),
reasoned AS (
    SELECT
        *,
        CASE
            WHEN outcome <> 'ok' THEN outcome
            WHEN orphaned THEN 'no longer asked'
            WHEN rejected THEN 'rejected later'
        END AS reason,
        sum(usd) OVER (PARTITION BY paid_by) AS usd_stage,
        sum(usd) OVER () AS usd_run
    FROM charges
)
SELECT
    coalesce(paid_by, 'all') AS stage,
    reason,
    count(reason) AS requests,
    coalesce(sum(input_tokens) FILTER (reason IS NOT NULL), 0)::BIGINT AS input_tokens,
    coalesce(sum(output_tokens) FILTER (reason IS NOT NULL), 0)::BIGINT AS output_tokens,
    coalesce(sum(usd) FILTER (reason IS NOT NULL), 0) AS usd,
    round(
        (sum(usd) FILTER (reason IS NOT NULL))::DOUBLE
        / nullif(if(grouping(paid_by) = 1, any_value(usd_run), any_value(usd_stage)), 0),
        4
    ) AS part,
    if(reason = 'rejected later', any_value(looked_in), NULL) AS looked_in
FROM reasoned
GROUP BY GROUPING SETS ((paid_by, reason), ())
HAVING grouping(paid_by) = 1 OR reason IS NOT NULL
ORDER BY grouping(paid_by), usd DESC, stage, reason
