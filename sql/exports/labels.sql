-- For the card: how the traces were judged, by what decided it.
-- reads: dataset
SELECT correctness, decided_by, count(*) AS rows
FROM dataset
GROUP BY correctness, decided_by
ORDER BY rows DESC, decided_by
