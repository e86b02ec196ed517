-- Every result of the run, by the row that asked for it; rows that asked for the same request share it.
-- paid_by: the stage that was billed. kept: whether the row is still in the table named by looked_in, the last one that
-- knows rows of the stage by their keys; NULL where none does.
-- reads: charged, keys, fates
SELECT
    coalesce(k.stage, c.stage) AS stage,
    k.row_key,
    k.sample,
    c.request_id,
    c.outcome,
    c.shard,
    c.attempt,
    c.model,
    c.finish,
    c.code,
    c.message,
    c.input_tokens,
    c.output_tokens,
    c.reasoning_tokens,
    c.usd,
    c.stage AS paid_by,
    c.realm,
    f.kept,
    f.looked_in
FROM charged AS c
LEFT JOIN keys AS k ON k.request_id = c.request_id
LEFT JOIN fates AS f ON f.stage = k.stage AND f.row_key = k.row_key AND f.sample = k.sample
ORDER BY ALL
