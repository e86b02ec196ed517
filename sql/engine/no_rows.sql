-- The columns of a round's rows, without rows.
-- reads: fresh_rows
SELECT * FROM fresh_rows LIMIT 0
