-- What stands of the hosts that the stage has left: the answers of requests that it wants, and the last word on those
-- that it gave up there in closed rounds; each from one host, the first of its list. A result without a raw line
-- (nothing came back) does not say its host.
-- reads: landed_left, hosts_left, asked, closed_ids, members
WITH told AS (
    SELECT l.request_id, h.rank, h.realm, any_value(l.shard) AS shard, bool_or(l.outcome = 'ok') AS ok
    FROM landed_left AS l
    JOIN hosts_left AS h ON h.realm = coalesce(split_part(l.raw, '/', 2), h.realm)
    WHERE l.request_id IN (SELECT request_id FROM asked)
    GROUP BY l.request_id, h.rank, h.realm
)
SELECT request_id, realm, realm || '/' || shard AS shard, ok
FROM told
WHERE ok
    OR (
        request_id IN (SELECT request_id FROM closed_ids)
        AND request_id NOT IN (SELECT request_id FROM members)
    )
QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY ok DESC, rank) = 1
