-- One row per problem: its question, once as it is and once in the normal form in which wording is compared.
-- reads: source
WITH problems AS (
    SELECT problem_key AS row_key, any_value(subject) AS subject, any_value(question) AS question
    FROM source
    GROUP BY problem_key
)
SELECT *, text_key(question) AS words
FROM problems
ORDER BY row_key
