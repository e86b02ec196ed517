-- The table of a stage that has no table query: every ok answer as it is.
-- reads: answers
SELECT * FROM answers WHERE outcome = 'ok'
