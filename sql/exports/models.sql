-- For the card: which models the providers say wrote the problems and the traces.
-- reads: dataset
SELECT role, model, count(*) AS rows
FROM (
    SELECT 'problems' AS role, author_model AS model, problem_key AS key FROM dataset GROUP BY ALL
    UNION ALL
    SELECT 'traces', solver_model, row_key FROM dataset WHERE solution IS NOT NULL
)
GROUP BY ALL
ORDER BY role, rows DESC, model
