-- The row keys of one table of the run.
-- reads: stage_table
-- $stage: whose table it is
-- $place: its number, in the manifest's order
-- $asks: whether the stage asks a model
SELECT $stage AS stage, $place::INTEGER AS place, $asks::BOOLEAN AS asks, row_key FROM stage_table
