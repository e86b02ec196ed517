-- What the run's attempts of one realm were billed for, by stage and outcome.
-- reads: landed, attempts
-- $realm: the realm
SELECT
    a.stage,
    l.outcome,
    count(*) AS requests,
    (coalesce(sum(l.input_tokens), 0) + coalesce(sum(l.output_tokens), 0))::BIGINT AS tokens,
    coalesce(sum(l.usd), 0)::DECIMAL(24, 12) AS usd
FROM landed AS l
JOIN attempts AS a ON a.shard = l.shard AND a.attempt = l.attempt AND a.realm = $realm
GROUP BY a.stage, l.outcome
ORDER BY a.stage, l.outcome
