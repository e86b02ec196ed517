-- The rows of one split, with their place in the order of the table.
-- reads: placed
-- $split: train or held_out
SELECT * EXCLUDE (__split) FROM placed WHERE __split = $split
