-- How many texts are how long, in words (between blanks): each bin is twice as wide as the one before.
-- from_words, to_words: what a bin holds, both ends included.
-- reads: dataset
WITH problems AS (
    SELECT problem_key, unnest([
        {'place': 1, 'what': 'question', 'text': any_value(question)},
        {'place': 2, 'what': 'answer', 'text': any_value(answer)},
        {'place': 3, 'what': 'original solution', 'text': any_value(original_solution)}
    ]) AS one
    FROM dataset
    GROUP BY problem_key
),
texts AS (
    SELECT one.place AS place, one.what AS what, one.text AS text FROM problems
    UNION ALL
    SELECT 4, 'trace', solution FROM dataset
),
counted AS (
    SELECT place, what, length(regexp_replace(text, '\S+\s*', 'w', 'g')) AS words
    FROM (SELECT place, what, trim(text, ' ' || chr(9) || chr(10) || chr(13)) AS text FROM texts)
    WHERE text IS NOT NULL
),
binned AS (SELECT *, if(words < 1, -1, floor(log2(words)))::INTEGER AS bin FROM counted)
SELECT
    what,
    if(bin < 0, 0, 1 << greatest(bin, 0)) AS from_words,
    if(bin < 0, 0, (2 << greatest(bin, 0)) - 1) AS to_words,
    count(*) AS texts
FROM binned
GROUP BY place, what, bin
ORDER BY place, bin
