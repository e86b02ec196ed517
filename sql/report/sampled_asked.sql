-- The requests of one stage that the sample's links lead to, at most some for each row.
-- reads: asked, links
-- $most: requests of a row
SELECT l.place, a.row_key, a.sample, a.request_id, a.row, a.position
FROM asked AS a
JOIN links AS l ON l.key = a.row_key
QUALIFY row_number() OVER (PARTITION BY l.place ORDER BY a.position) <= $most
