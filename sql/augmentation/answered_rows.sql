-- What the strong model is asked: the bare new problems.
-- reads: drafts
SELECT row_key, question
FROM drafts
WHERE reason = 'ok'
ORDER BY subject, row_key
