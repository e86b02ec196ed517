-- Per problem: how many tries came to an answer, how many of them were right, and whether the problem is for RL.
-- reads: verified, solutions, checks, judgements
-- $least_solved: fewest right tries of a problem that is kept (1)
-- $most_solved: most right tries (8). With fewer than the samples, problems that are always solved teach nothing and go
WITH graded AS (
    SELECT s.problem_key, if(c.doubt, coalesce(j.same, false), coalesce(c.match = 'yes', false)) AS correct
    FROM solutions AS s
    LEFT JOIN checks AS c ON c.row_key = s.row_key
    LEFT JOIN judgements AS j ON j.row_key = s.row_key
)
SELECT
    v.row_key,
    v.subject,
    v.topic,
    count(g.correct) AS tries,
    count(*) FILTER (g.correct) AS solved,
    count(*) FILTER (g.correct) BETWEEN $least_solved AND $most_solved AS within
FROM verified AS v
LEFT JOIN graded AS g ON g.problem_key = v.row_key
GROUP BY v.row_key, v.subject, v.topic
ORDER BY v.row_key
