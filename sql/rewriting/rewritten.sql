-- Every text with its article and what became of it. kept: all sections, all numbers, and the judge found nothing that
-- the text does not say. evidence: what was lost, added or unsupported.
-- reads: texts, articles, checked, verdicts
SELECT
    t.row_key,
    a.title,
    a.article,
    t.text AS source,
    coalesce(c.reason = 'ok' AND v.faithful, false) AS kept,
    CASE
        WHEN a.row_key IS NULL THEN 'no article'
        WHEN c.reason <> 'ok' THEN c.reason
        WHEN v.row_key IS NULL THEN 'not judged'
        WHEN v.faithful THEN 'faithful'
        ELSE 'says what the text does not'
    END AS reason,
    CASE
        WHEN c.reason = 'a number is lost' THEN array_to_string(c.lost, '; ')
        WHEN c.reason = 'a number is new' THEN array_to_string(c.added, '; ')
        ELSE array_to_string(v.unsupported, '; ')
    END AS evidence,
    a.writer_model
FROM texts AS t
LEFT JOIN articles AS a ON a.row_key = t.row_key
LEFT JOIN checked AS c ON c.row_key = t.row_key
LEFT JOIN verdicts AS v ON v.row_key = t.row_key
ORDER BY t.row_key
