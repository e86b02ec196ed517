-- For the card: how long the texts are, in characters.
-- reads: dataset
WITH texts AS (
    SELECT 1 AS place, 'question' AS text, length(question) AS size FROM dataset
    UNION ALL
    SELECT 2, 'answer', length(answer) FROM dataset
    UNION ALL
    SELECT 3, 'original_solution', length(original_solution) FROM dataset
    UNION ALL
    SELECT 4, 'solution', length(solution) FROM dataset
)
SELECT
    text,
    count(size) AS texts,
    round(avg(size))::BIGINT AS mean,
    quantile_cont(size, 0.5)::BIGINT AS median,
    quantile_cont(size, 0.95)::BIGINT AS p95,
    max(size) AS longest
FROM texts
GROUP BY place, text
ORDER BY place
