-- The id up to which a random sample of the stage's requests goes. Ids are digests of the requests, so those with the
-- smallest ids are a random sample, the same one on every machine, and a larger one contains it.
-- reads: asked
-- $requests: how many requests the sample has
SELECT max(request_id) AS upto
FROM (SELECT DISTINCT request_id FROM asked ORDER BY request_id LIMIT $requests)
