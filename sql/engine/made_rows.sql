-- The row keys of one table of the run.
-- reads: stage_table
-- $stage: whose table it is
-- $place: its number, in the manifest's order
SELECT $stage AS stage, $place::INTEGER AS place, row_key FROM stage_table
