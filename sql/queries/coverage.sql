-- How evenly the topics are covered, by subject: problems per topic, topics left empty, correct traces.
-- reads: taxonomy, problems, dataset
WITH drafted AS (SELECT topic_id, count(*) AS drafts FROM problems GROUP BY topic_id),
kept AS (
    SELECT
        topic_id,
        count(DISTINCT problem_key) AS problems,
        count(DISTINCT problem_key) FILTER (correctness) AS solved
    FROM dataset
    GROUP BY topic_id
),
by_topic AS (
    SELECT
        t.subject,
        t.area,
        coalesce(d.drafts, 0) AS drafts,
        coalesce(k.problems, 0) AS problems,
        coalesce(k.solved, 0) AS solved
    FROM taxonomy AS t
    LEFT JOIN drafted AS d ON d.topic_id = t.row_key
    LEFT JOIN kept AS k ON k.topic_id = t.row_key
)
SELECT
    coalesce(subject, 'all') AS subject,
    count(DISTINCT (subject, area)) AS areas,
    count(*) AS topics,
    count(*) FILTER (problems = 0) AS topics_without_problem,
    sum(drafts)::BIGINT AS drafts,
    sum(problems)::BIGINT AS problems,
    round(sum(problems) / nullif(sum(drafts), 0), 3) AS kept_part,
    min(problems) AS least_per_topic,
    round(avg(problems), 2) AS mean_per_topic,
    max(problems) AS most_per_topic,
    sum(solved)::BIGINT AS with_correct_trace,
    round(sum(solved) / nullif(sum(problems), 0), 3) AS solved_part
FROM by_topic
GROUP BY GROUPING SETS ((subject), ())
ORDER BY by_topic.subject IS NULL DESC, by_topic.subject
