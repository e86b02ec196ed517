-- The rows of a round that no earlier drawing had, each led by its place.
-- reads: fresh_known, fresh_rows
SELECT k.place AS __place, fresh_rows.*
FROM fresh_known AS k
POSITIONAL JOIN fresh_rows
WHERE k.ids IS NULL
