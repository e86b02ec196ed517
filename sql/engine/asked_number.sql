-- How many requests were drawn, those that are asked twice counted twice.
-- reads: asked
SELECT count(*) AS requests FROM asked
