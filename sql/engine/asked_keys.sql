-- Which row asked which request.
-- reads: asked
SELECT row_key, sample, request_id FROM asked
