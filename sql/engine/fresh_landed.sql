-- The results of one attempt that is being landed.
-- reads: fresh_landed
SELECT * FROM fresh_landed
