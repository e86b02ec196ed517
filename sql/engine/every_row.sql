-- A stage's table as it is.
-- reads: stage_table
SELECT * FROM stage_table
