-- What the judge is asked: the articles that passed the free check, each beside its text.
-- reads: articles, checked
SELECT a.row_key, a.source, a.article
FROM articles AS a
JOIN checked AS c ON c.row_key = a.row_key AND c.reason = 'ok'
ORDER BY a.row_key
