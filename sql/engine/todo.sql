-- Requests that no shard of the realm holds yet, each once: those of the sample first, then in the order in which they
-- were asked.
-- reads: asked, members
-- $upto: the last id that is wanted
-- $sample: the last id of the sample
WITH known AS (SELECT DISTINCT request_id FROM members),
first_asked AS (
    SELECT request_id, min(position) AS position, max(ceiling) AS ceiling
    FROM asked
    WHERE request_id <= $upto AND request_id NOT IN (SELECT request_id FROM known)
    GROUP BY request_id
)
SELECT a.row, a.sample, a.request_id, a.input_tokens, a.input_bound
FROM asked AS a
JOIN first_asked AS f ON f.request_id = a.request_id AND f.position = a.position
ORDER BY a.request_id > $sample, a.round, a.position
