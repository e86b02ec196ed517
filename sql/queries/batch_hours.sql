-- Every batch with the hours that it took from being sent to its results being kept; NULL while it is under way.
-- reads: batches
SELECT
    stage,
    provider,
    model,
    shard,
    attempt,
    id,
    status,
    requests,
    done,
    usd,
    usd_suspected,
    sent_at,
    landed_at,
    round(epoch(landed_at - sent_at) / 3600, 4) AS hours
FROM batches
ORDER BY sent_at, shard, attempt
