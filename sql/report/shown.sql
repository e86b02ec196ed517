-- The rows of the sample, whole.
-- reads: shown, picked
SELECT p.place, s.*
FROM shown AS s
JOIN picked AS p ON p.row_key = s.row_key
