-- How many requests of the stage are given up.
-- reads: standing
SELECT count(*) FILTER (state = 'given_up') FROM standing
