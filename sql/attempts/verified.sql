-- The problems that the trained model tries: those of the data set with use 'rl' (in train, answer verified, no correct
-- trace), in the form that the pipeline's own solver and grader read.
-- reads: labelled
SELECT
    problem_key AS row_key,
    first(subject ORDER BY index) AS subject,
    first(topic ORDER BY index) AS topic,
    first(question ORDER BY index) AS question,
    first(answer ORDER BY index) AS reference_answer,
    first(answer_kind ORDER BY index) AS answer_kind
FROM labelled
WHERE use = 'rl'
GROUP BY problem_key
ORDER BY row_key
