-- How many rows that an earlier drawing asked are gone by now, or changed in any column.
-- reads: fresh_asked, fresh_rows
SELECT count(*) AS gone
FROM fresh_asked AS a
ANTI JOIN fresh_rows AS f ON f.row_key = a.row_key AND f.content = a.content
WHERE a.sample = 1
