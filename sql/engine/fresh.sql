-- A round's rows as the rows query gave them.
-- reads: fresh_rows
SELECT * FROM fresh_rows
