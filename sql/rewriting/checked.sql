-- The free check of every article: are all four sections there, does every number of the text stand in the article, and
-- does every number of the article stand in the text? What fails is never shown to a judge.
-- Numbers are compared as they are written, list marks such as "1." at the beginning of a line aside.
-- reads: articles
WITH numbers AS (
    SELECT
        row_key,
        list_distinct(regexp_extract_all(source, '\d+(?:[.,]\d+)*')) AS told,
        list_distinct(
            regexp_extract_all(regexp_replace(article, '(?m)^\s*\d+[.)]\s', '', 'g'), '\d+(?:[.,]\d+)*')
        ) AS written
    FROM articles
)
SELECT
    a.row_key,
    list_filter(n.told, lambda one: NOT list_contains(n.written, one)) AS lost,
    list_filter(n.written, lambda one: NOT list_contains(n.told, one)) AS added,
    CASE
        WHEN a.background = '' THEN 'a section is empty'
        WHEN least(len(a.definitions), len(a.formulas), len(a.examples)) = 0 THEN 'a section is empty'
        WHEN len(list_filter(n.told, lambda one: NOT list_contains(n.written, one))) > 0 THEN 'a number is lost'
        WHEN len(list_filter(n.written, lambda one: NOT list_contains(n.told, one))) > 0 THEN 'a number is new'
        ELSE 'ok'
    END AS reason
FROM articles AS a
JOIN numbers AS n ON n.row_key = a.row_key
ORDER BY a.row_key
