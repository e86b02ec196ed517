-- The rows of a round by place, with the ids of their requests where an earlier drawing had the very same row.
-- A row is the same if its key is and a digest of all its columns: whatever changed in it, it is rendered again.
-- reads: fresh_rows, fresh_asked
WITH before AS (
    SELECT
        row_key,
        hash(fresh_asked.row) AS content,
        string_agg(request_id, ' ' ORDER BY sample) AS ids,
        any_value(input_tokens) AS input_tokens,
        any_value(input_bound) AS input_bound
    FROM fresh_asked
    GROUP BY ALL
),
now AS (SELECT row_number() OVER () - 1 AS place, row_key, hash(fresh_rows) AS content FROM fresh_rows)
SELECT n.place, b.ids, b.input_tokens, b.input_bound
FROM now AS n
LEFT JOIN before AS b ON b.row_key = n.row_key AND b.content = n.content
ORDER BY n.place
