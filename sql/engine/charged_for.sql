-- What attempts of one realm were billed for answers that are not usable, by attempt and outcome.
-- reads: landed
SELECT
    shard,
    attempt,
    outcome,
    count(*) AS requests,
    (coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0))::BIGINT AS tokens,
    coalesce(sum(usd), 0)::DECIMAL(24, 12) AS usd
FROM landed
WHERE outcome <> 'ok'
GROUP BY shard, attempt, outcome
ORDER BY shard, attempt, outcome
