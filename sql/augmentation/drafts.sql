-- Every new problem with what the free checks say of it, before two answers to it are paid for. reason 'ok': go on.
-- reads: problems, pool
WITH keyed AS (
    SELECT *, text_key(question) AS question_key FROM problems
),
known AS (
    SELECT text_key(question) AS question_key FROM pool
)
SELECT
    k.* EXCLUDE (question_key),
    CASE
        WHEN k.question_key = text_key(k.seed) THEN 'the failed problem again'
        WHEN k.question_key IN (SELECT question_key FROM known) THEN 'in the pool already'
        WHEN row_number() OVER (PARTITION BY k.question_key ORDER BY k.row_key) > 1 THEN 'written twice'
        ELSE screen_problem(k.question, 'x') -- its answer is not known yet
    END AS reason
FROM keyed AS k
ORDER BY k.row_key
