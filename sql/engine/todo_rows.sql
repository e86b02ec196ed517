-- The rows of the requests that are to be packed, to be rendered once more.
-- reads: fresh_todo, asked
SELECT t.place, t.request_id, a.sample, a.row
FROM fresh_todo AS t
JOIN asked AS a ON a.round = t.round AND a.position = t.position
