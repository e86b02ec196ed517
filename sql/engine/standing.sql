-- Where each wanted request of the stage stands: exactly one state each. last: its last outcome, '' where none is heard.
-- A request of a whole shard that history does not know was answered at once.
-- flying: requests under way, but for those of flying_shards, which are so as a whole.
-- What was given up in a round that was closed before the stage fell back stays so.
-- reads: placed_ids, whole_shards, history, choices, flying, flying_shards, closed_ids
SELECT
    p.request_id,
    p.shard,
    CASE
        WHEN coalesce(h.ok, s.shard IS NOT NULL) THEN 'answered'
        WHEN d.request_id IS NOT NULL THEN 'given_up'
        WHEN f.request_id IS NOT NULL OR g.shard IS NOT NULL THEN 'in_flight'
        WHEN c.state IS NOT NULL THEN c.state
        WHEN p.shard IS NOT NULL THEN 'packed'
        ELSE 'not_asked'
    END AS state,
    coalesce(c.ceiling, p.ceiling) AS ceiling,
    coalesce(h.last, if(h.request_id IS NULL AND s.shard IS NOT NULL, 'ok', '')) AS last
FROM placed_ids AS p
LEFT JOIN whole_shards AS s ON s.shard = p.shard
LEFT JOIN history AS h ON h.request_id = p.request_id
LEFT JOIN choices AS c ON c.request_id = p.request_id
LEFT JOIN flying AS f ON f.request_id = p.request_id
LEFT JOIN flying_shards AS g ON g.shard = p.shard
LEFT JOIN closed_ids AS d ON d.request_id = p.request_id
