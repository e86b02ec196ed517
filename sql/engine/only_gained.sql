-- Whether a round's rows are those that an earlier drawing asked, each once and as it was, and the rows of fresh_keys.
-- Sums over 64-bit digests of key and content: nothing is joined again, and no key is compared with any other.
-- reads: fresh_rows, fresh_keys, fresh_asked
WITH counted AS (
    SELECT 'now' AS what, row_key, content FROM fresh_rows
    UNION ALL
    SELECT 'new', row_key, content FROM fresh_keys
    UNION ALL
    SELECT 'before', row_key, content FROM fresh_asked WHERE sample = 1
),
summed AS (
    SELECT what, count(*) AS rows, sum(hash(row_key, content)::HUGEINT) AS digest FROM counted GROUP BY what
),
told AS (
    SELECT
        sum(if(what = 'now', rows, -rows)) AS rows,
        sum(if(what = 'now', digest, -digest)) AS digest
    FROM summed
)
SELECT rows = 0 AND digest = 0 AND (SELECT count(row_key) = count(*) FROM fresh_keys) AS gained
FROM told
