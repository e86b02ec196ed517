-- The stage's standing, counted.
-- reads: standing
SELECT state, if(state = 'answered', 'ok', last) AS outcome, count(*) AS requests
FROM standing
GROUP BY ALL
