-- What a judge is asked: every triple in three orders, so that each of its problems stands in each place once. Every
-- second triple goes round the other way, so that each set stands in front of each other one equally often.
-- places: for each place the number of the set that stands there.
-- reads: triples
WITH turned AS (
    SELECT
        t.*,
        r.turn,
        list_transform([1, 2, 3], lambda p: if(number % 2 = 0, (p + turn) % 3, (3 - p + turn) % 3) + 1) AS places
    FROM triples AS t, (VALUES (0), (1), (2)) AS r (turn)
)
SELECT
    row_key || '/' || (turn + 1) AS row_key,
    row_key AS triple,
    places,
    questions[places[1]] AS problem_1,
    questions[places[2]] AS problem_2,
    questions[places[3]] AS problem_3
FROM turned
ORDER BY row_key
