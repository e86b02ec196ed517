-- The requests of one round: every row of the stage's rows query with the ids of its requests, in the order of the rows.
-- reads: fresh_rows, ids
-- $round: number of the round, from 1
-- $samples: requests of each row; their ids are joined by blanks
-- $ceiling: the output ceiling of all of them
WITH drawn AS (
    -- both were written in one order: no join by key, which would hold a million keys in memory and lose the order
    SELECT
        i.place, i.ids, i.input_tokens, i.input_bound, fresh_rows.row_key, fresh_rows AS row, hash(fresh_rows) AS content
    FROM ids AS i
    POSITIONAL JOIN fresh_rows
),
each AS (
    SELECT *, unnest(string_split(ids, ' ')) AS request_id, unnest(range(1, $samples + 1))::INTEGER AS sample FROM drawn
)
SELECT
    place * $samples + sample - 1 AS position,
    $round::INTEGER AS round,
    row_key,
    sample,
    request_id,
    $ceiling::INTEGER AS ceiling,
    input_tokens,
    input_bound,
    content,
    row
FROM each
