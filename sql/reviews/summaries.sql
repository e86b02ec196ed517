-- One row per product: what its customers say.
-- reads: answers
SELECT
    row_key,
    product,
    review_count,
    answer ->> 'headline' AS headline,
    from_json(answer -> 'praised', '["VARCHAR"]') AS praised,
    from_json(answer -> 'criticised', '["VARCHAR"]') AS criticised
FROM answers
WHERE outcome = 'ok'
ORDER BY row_key
