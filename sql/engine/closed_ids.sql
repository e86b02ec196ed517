-- Requests that only rounds want which were closed before the stage fell back: those are not asked again elsewhere.
-- reads: asked, closed_rounds
SELECT request_id
FROM asked
GROUP BY request_id
HAVING bool_and(round IN (SELECT round FROM closed_rounds))
