-- How each stage stands.
-- reads: standings
SELECT * FROM standings
