-- One row per review, sorted.
-- reads: answers
SELECT
    row_key,
    product,
    review,
    answer ->> 'sentiment' AS sentiment,
    from_json(answer -> 'aspects', '["VARCHAR"]') AS aspects,
    answer ->> 'evidence' AS evidence
FROM answers
WHERE outcome = 'ok'
ORDER BY row_key
