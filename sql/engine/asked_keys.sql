-- Which row of a stage asked which request.
-- reads: asked
-- $stage: name of the stage
-- $place: its number, in the manifest's order
SELECT $stage AS stage, $place::INTEGER AS place, row_key, sample, request_id FROM asked
