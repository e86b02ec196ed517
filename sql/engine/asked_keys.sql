-- Which row of a stage asked which request.
-- reads: asked
-- $stage: name of the stage
SELECT $stage AS stage, row_key, sample, request_id FROM asked
