-- The requests of one round: every row of the stage's rows query with the ids of its requests.
-- reads: fresh_rows, ids
-- $round: number of the round, from 1
SELECT
    i.position,
    $round::INTEGER AS round,
    fresh_rows.row_key,
    i.sample,
    i.request_id,
    i.ceiling,
    i.input_tokens,
    i.input_bound,
    fresh_rows AS row
FROM ids AS i
JOIN fresh_rows ON fresh_rows.row_key = i.row_key
ORDER BY i.position
