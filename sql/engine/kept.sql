-- What the waves of a stage came to so far: the table that they wait for, as a stage's rows query and its `until` read it.
-- reads: fresh_rows
SELECT row_key, to_json(fresh_rows) AS row
FROM fresh_rows
ORDER BY row_key
