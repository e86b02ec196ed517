-- How many rows come of a line, and of how many requests they are.
-- reads: swept
SELECT
    count(*) AS found,
    count(DISTINCT request_id) AS requests
FROM swept
WHERE line IS NOT NULL
