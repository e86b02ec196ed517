-- How long questions, answers, the author's solutions and the traces are, in words (between blanks, as the paper
-- counts) and in tokens (Qwen3's, whose traces the paper trains on), by subject and in all. A question counts once, a
-- trace each time; a trace's thinking is part of it.
-- reads: dataset
WITH problems AS (
    SELECT problem_key, any_value(subject) AS subject, unnest([
        {'place': 1, 'what': 'question', 'text': any_value(question)},
        {'place': 2, 'what': 'answer', 'text': any_value(answer)},
        {'place': 3, 'what': 'original solution', 'text': any_value(original_solution)}
    ]) AS one
    FROM dataset
    GROUP BY problem_key
),
texts AS (
    SELECT subject, one.place AS place, one.what AS what, one.text AS text FROM problems
    UNION ALL
    SELECT subject, 4, 'trace', solution FROM dataset
    UNION ALL
    SELECT subject, 5, 'correct trace', solution FROM dataset WHERE correctness
),
counted AS (
    SELECT
        subject,
        place,
        what,
        length(regexp_replace(text, '\S+\s*', 'w', 'g')) AS words,
        count_tokens(text, 'Qwen/Qwen3-235B-A22B-Thinking-2507') AS tokens
    FROM (SELECT subject, place, what, trim(text, ' ' || chr(9) || chr(10) || chr(13)) AS text FROM texts)
    WHERE text IS NOT NULL
)
SELECT
    coalesce(subject, 'all') AS subject,
    what,
    count(*) AS texts,
    round(avg(words), 1) AS words,
    quantile_disc(words, 0.5) AS words_median,
    quantile_disc(words, 0.95) AS words_95,
    round(avg(tokens), 1) AS tokens,
    quantile_disc(tokens, 0.5) AS tokens_median,
    quantile_disc(tokens, 0.95) AS tokens_95
FROM counted
GROUP BY GROUPING SETS ((subject, place, what), (place, what))
ORDER BY counted.subject IS NOT NULL, counted.subject, place
