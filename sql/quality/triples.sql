-- Triples of problems, one of each set, of one subject where the sets have subjects; no problem is in two triples. The
-- subjects take turns, so that a few triples are spread over all of them.
-- reads: problems
-- $sets: the three sets, the first of which has subjects
-- $triples: how many triples at most
WITH placed AS (
    SELECT
        problem_set,
        subject,
        row_key,
        question,
        row_number() OVER (PARTITION BY problem_set, subject ORDER BY md5(row_key), row_key) AS place
    FROM problems
    WHERE problem_set IN $sets
),
firsts AS (
    SELECT *, row_number() OVER (ORDER BY place, subject) AS number FROM placed WHERE problem_set = $sets[1]
),
matched AS (
    SELECT
        a.number,
        a.subject,
        [a.row_key, b.row_key, c.row_key] AS keys,
        [a.question, b.question, c.question] AS questions
    FROM firsts AS a
    JOIN placed AS b
        ON b.problem_set = $sets[2]
        AND (b.subject = a.subject AND b.place = a.place OR b.subject IS NULL AND b.place = a.number)
    JOIN placed AS c
        ON c.problem_set = $sets[3]
        AND (c.subject = a.subject AND c.place = a.place OR c.subject IS NULL AND c.place = a.number)
)
SELECT printf('triple-%05d', number) AS row_key, number, subject, $sets AS sets, keys, questions
FROM matched
QUALIFY row_number() OVER (ORDER BY number) <= $triples
ORDER BY row_key
