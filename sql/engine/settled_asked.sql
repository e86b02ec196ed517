-- How many requests that are over are asked once more.
-- reads: standing_before, asked
SELECT count(*) AS again FROM standing_before WHERE request_id IN (SELECT request_id FROM asked)
