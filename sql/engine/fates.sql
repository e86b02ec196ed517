-- What became of the rows that stages asked about, as far as their keys tell: are they in the last table, from the
-- stage's own on, that has rows of this stage at all? Tables of later stages that ask do not count: asking about a part
-- of the rows rejects none of the others. A further sample of a row is looked for as KEY-SAMPLE where that
-- table has such rows, else as its row.
-- reads: keys, made_rows
WITH named AS (
    SELECT stage, place, row_key, sample, row_key AS name, false AS apart FROM keys
    UNION ALL
    SELECT stage, place, row_key, sample, row_key || '-' || sample, true FROM keys WHERE sample > 1
),
lasts AS (
    SELECT n.stage, max(m.place) AS place
    FROM named AS n
    JOIN made_rows AS m ON m.row_key = n.name AND (m.place = n.place OR (m.place > n.place AND NOT m.asks))
    GROUP BY n.stage
),
found AS (
    SELECT n.stage, n.row_key, n.sample, n.apart, l.place, m.row_key IS NOT NULL AS there
    FROM named AS n
    JOIN lasts AS l ON l.stage = n.stage
    LEFT JOIN made_rows AS m ON m.place = l.place AND m.row_key = n.name
),
by_sample AS (SELECT stage, bool_or(apart AND there) AS apart FROM found GROUP BY stage),
tables AS (SELECT place, any_value(stage) AS name FROM made_rows GROUP BY place)
SELECT f.stage, f.row_key, f.sample, bool_or(f.there) AS kept, any_value(t.name) AS looked_in
FROM found AS f
JOIN by_sample AS b ON b.stage = f.stage
JOIN tables AS t ON t.place = f.place
WHERE f.apart = (b.apart AND f.sample > 1)
GROUP BY f.stage, f.row_key, f.sample
