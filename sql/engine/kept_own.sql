-- How many rows of a stage's table say themselves that they are kept.
-- reads: stage_table
SELECT count(*) FILTER (kept) AS kept FROM stage_table
