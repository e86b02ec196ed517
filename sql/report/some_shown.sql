-- Some rows of the sample.
-- reads: sampled
-- $first: place of the first
-- $last: place of the last
SELECT * FROM sampled WHERE place BETWEEN $first AND $last ORDER BY place
