-- Ids and tokens of every row of a round: remembered, or of the rows that were rendered now.
-- reads: fresh_known, ids
SELECT
    k.place,
    coalesce(k.ids, i.ids) AS ids,
    coalesce(k.input_tokens, i.input_tokens) AS input_tokens,
    coalesce(k.input_bound, i.input_bound) AS input_bound
FROM fresh_known AS k
LEFT JOIN ids AS i ON i.place = k.place
ORDER BY k.place
