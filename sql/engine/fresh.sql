-- A round's rows as the rows query gave them, each led by its place.
-- reads: fresh_rows
SELECT row_number() OVER () - 1 AS __place, * FROM fresh_rows
