-- How many requests the stage wants.
-- reads: asked
SELECT count(DISTINCT request_id) AS wanted FROM asked
