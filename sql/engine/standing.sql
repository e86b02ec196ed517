-- Where each wanted request of the stage stands: exactly one state each.
-- reads: asked, history, choices, flying, members
WITH wanted AS (SELECT request_id, max(ceiling) AS ceiling FROM asked GROUP BY request_id)
SELECT
    w.request_id,
    m.shard,
    CASE
        WHEN h.ok THEN 'answered'
        WHEN f.request_id IS NOT NULL THEN 'in_flight'
        WHEN c.state IS NOT NULL THEN c.state
        WHEN m.shard IS NOT NULL THEN 'packed'
        ELSE 'not_asked'
    END AS state,
    coalesce(c.ceiling, w.ceiling) AS ceiling,
    coalesce(h.last, '') AS last
FROM wanted AS w
LEFT JOIN history AS h ON h.request_id = w.request_id
LEFT JOIN choices AS c ON c.request_id = w.request_id
LEFT JOIN flying AS f ON f.request_id = w.request_id
LEFT JOIN members AS m ON m.request_id = w.request_id
