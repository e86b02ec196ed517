-- The rows of one file.
-- reads: placed_in_order
-- $first: the place of its first row
-- $last: the place of its last row
SELECT * EXCLUDE (__place) FROM placed_in_order WHERE __place BETWEEN $first AND $last
