-- For the card: problems, topics and traces of each subject, and the subject's share of the problems.
-- reads: dataset
SELECT
    subject,
    count(DISTINCT problem_key) AS problems,
    round(count(DISTINCT problem_key) / (SELECT count(DISTINCT problem_key) FROM dataset), 3)::DOUBLE AS share,
    count(DISTINCT topic_id) AS topics,
    count(solution) AS traces,
    count(*) FILTER (correctness) AS correct_traces
FROM dataset
GROUP BY subject
ORDER BY problems DESC, subject
