-- Every draft goes to the verifiers.
-- reads: problems
SELECT * FROM problems ORDER BY row_key
