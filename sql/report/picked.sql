-- The keys of a sample of a table: those with the smallest digests, in the table's own order. place: from 1.
-- reads: shown
-- $rows: how many at most
WITH least AS (SELECT row_key FROM shown ORDER BY md5(row_key), row_key LIMIT $rows)
SELECT row_number() OVER (ORDER BY row_key) AS place, row_key FROM least
