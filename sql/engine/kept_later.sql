-- How many rows of a stage are in a later table: by row key where the two share keys, else all rows of the later one.
-- reads: stage_table, later_table
WITH shared AS (
    SELECT count(*) AS rows FROM stage_table WHERE row_key IN (SELECT row_key FROM later_table)
)
SELECT if(s.rows > 0, s.rows, (SELECT count(*) FROM later_table)) AS kept
FROM shared AS s
