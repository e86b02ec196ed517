-- What is behind some rows of the sample.
-- reads: evidence
-- $first: place of the first
-- $last: place of the last
SELECT * EXCLUDE (position) FROM evidence WHERE place BETWEEN $first AND $last ORDER BY place, position
