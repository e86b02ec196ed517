-- Every topic with its problems in the data set, and how many of them have a correct trace.
-- reads: taxonomy, dataset
SELECT
    t.row_key,
    t.subject,
    t.area,
    t.topic,
    count(DISTINCT d.problem_key) AS problems,
    count(DISTINCT d.problem_key) FILTER (d.correctness) AS solved
FROM taxonomy AS t
LEFT JOIN dataset AS d ON d.topic_id = t.row_key
GROUP BY ALL
ORDER BY t.subject, t.area, t.topic, t.row_key
