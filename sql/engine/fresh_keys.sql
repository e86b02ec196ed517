-- The keys of rows that no earlier drawing of the round asked.
-- reads: fresh_rows, fresh_asked
SELECT row_key FROM fresh_rows WHERE row_key NOT IN (SELECT row_key FROM fresh_asked WHERE sample = 1)
