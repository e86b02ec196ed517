-- The rows of the pool that are nearest to each failed question, by the words that they share: the sum of the words'
-- weights (the logarithm of how rare a word is) over what all words of both weigh. Words that stand in more than a
-- tenth of the pool tell nothing and are left out, which also keeps the join small.
-- An embedding instead: a stage that embeds both, and list_cosine_similarity in place of the shared weight.
-- reads: failures, pool
-- $nearest: how many of the pool are retrieved for each failed question (20)
WITH texts AS (
    SELECT 'failure' AS side, row_key, question FROM failures
    UNION ALL
    SELECT 'pool' AS side, row_key, question FROM pool
),
words AS (
    SELECT DISTINCT side, row_key, unnest(string_split(text_key(question), ' ')) AS word
    FROM texts
),
weights AS (
    SELECT word, ln((SELECT count(*) FROM pool) / count(*)) AS weight
    FROM words
    WHERE side = 'pool'
    GROUP BY word
    HAVING count(*) <= greatest((SELECT count(*) FROM pool) / 10, 2)
),
weighed AS (
    SELECT w.side, w.row_key, w.word, g.weight, sum(g.weight) OVER (PARTITION BY w.side, w.row_key) AS whole
    FROM words AS w
    JOIN weights AS g ON g.word = w.word
),
pairs AS (
    SELECT
        f.row_key AS failure_key,
        p.row_key AS pool_key,
        sum(f.weight) / (first(f.whole) + first(p.whole) - sum(f.weight)) AS nearness
    FROM weighed AS f
    JOIN weighed AS p ON p.word = f.word AND p.side = 'pool'
    WHERE f.side = 'failure'
    GROUP BY f.row_key, p.row_key
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY failure_key ORDER BY nearness DESC, pool_key) AS place
    FROM pairs
)
SELECT
    r.failure_key || '/' || lpad(r.place::VARCHAR, 3, '0') AS row_key,
    r.failure_key,
    r.pool_key,
    r.place,
    round(r.nearness, 4) AS nearness,
    p.question
FROM ranked AS r
JOIN pool AS p ON p.row_key = r.pool_key
WHERE r.place <= $nearest
ORDER BY row_key
