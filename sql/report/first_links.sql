-- What each row of the sample can be followed by: its key.
-- reads: picked
SELECT place, row_key AS key FROM picked
