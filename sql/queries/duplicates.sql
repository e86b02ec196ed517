-- Every problem that was merged into another one: which, why, and how much of their wording they share. 'same problem'
-- is the same words; 'near duplicate' is other words for the same data and answer. Nothing is merged silently.
-- reads: screened
SELECT
    d.row_key,
    d.duplicate_of,
    d.reason,
    round(d.overlap, 3) AS overlap,
    d.subject || if(d.subject = k.subject, '', ' / ' || k.subject) AS subject,
    d.topic,
    k.topic AS kept_topic,
    d.question,
    k.question AS kept_question,
    d.reference_answer,
    k.reference_answer AS kept_answer
FROM screened AS d
JOIN screened AS k ON k.row_key = d.duplicate_of
ORDER BY d.reason, d.overlap, d.row_key
