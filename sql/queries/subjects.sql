-- How the data set is spread over the subjects, beside the CHIMERA paper's: topics counted in its appendix B
-- (mathematics is what is left of 1,179), and the share of problems, of which it names only that of mathematics (48.3
-- %).
-- reads: dataset
WITH paper AS (
    SELECT *
    FROM (
        VALUES
        ('Mathematics', 574, 0.483), ('Computer Science', 165, NULL), ('Chemistry', 139, NULL), ('Physics', 96, NULL),
        ('Literature', 64, NULL), ('History', 53, NULL), ('Biology', 48, NULL), ('Linguistics', 40, NULL)
    ) AS p (subject, topics, problem_share)
),
ours AS (
    SELECT
        subject,
        count(DISTINCT topic_id) AS topics,
        count(DISTINCT problem_key) AS problems,
        count(solution) AS traces,
        count(*) FILTER (correctness) AS correct
    FROM dataset
    GROUP BY subject
)
SELECT
    coalesce(o.subject, p.subject) AS subject,
    coalesce(o.topics, 0) AS topics,
    round(o.topics / sum(o.topics) OVER (), 4) AS topic_share,
    p.topics AS paper_topics,
    round(p.topics / sum(p.topics) OVER (), 4) AS paper_topic_share,
    coalesce(o.problems, 0) AS problems,
    round(o.problems / sum(o.problems) OVER (), 4) AS problem_share,
    p.problem_share::DOUBLE AS paper_problem_share,
    round(o.problems / nullif(o.topics, 0), 2) AS problems_per_topic,
    coalesce(o.traces, 0) AS traces,
    round(o.correct / nullif(o.traces, 0), 4) AS correct_part
FROM ours AS o
FULL JOIN paper AS p ON p.subject = o.subject
ORDER BY problems DESC, subject
