-- How many requests were drawn, and how many different ones.
-- reads: asked
SELECT count(*) AS requests, count(DISTINCT request_id) AS different FROM asked
