-- Rows that no earlier drawing of the round asked as they are now: their keys, each with the digest of all its columns.
-- reads: fresh_rows, fresh_asked
SELECT f.row_key, f.content
FROM fresh_rows AS f
ANTI JOIN (SELECT row_key, content FROM fresh_asked WHERE sample = 1) AS a
    ON a.row_key = f.row_key AND a.content = f.content
