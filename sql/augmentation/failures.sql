-- What the base model fails: open questions of the benchmark that at most this share of its tries got right.
-- reads: verified, solutions, checks, judgements
-- $most_right: the largest share of right tries of a question that counts as failed (0.25)
WITH graded AS (
    SELECT s.problem_key, coalesce(if(c.doubt, j.same, c.match = 'yes'), false) AS correct
    FROM solutions AS s
    LEFT JOIN checks AS c ON c.row_key = s.row_key
    LEFT JOIN judgements AS j ON j.row_key = s.row_key
)
SELECT v.row_key, v.subject, v.topic, v.question, count(*) AS tries, count(*) FILTER (g.correct) AS solved
FROM verified AS v
JOIN graded AS g ON g.problem_key = v.row_key
WHERE v.answer_kind <> 'letter'
GROUP BY v.row_key, v.subject, v.topic, v.question
HAVING count(*) FILTER (g.correct) <= $most_right * count(*)
ORDER BY v.row_key
