-- The pairs of a problem and a benchmark question that share wording: for each problem and benchmark the pair with the
-- highest Jaccard index of distinct 8-word sequences, that of 13-word sequences, and the largest part of the benchmark
-- question's 8-word sequences found in the problem (containment). A text of fewer words has no such sequence: it is
-- found where both texts are equal. Sequences are compared by 64-bit hashes, made by doubling (words, pairs, fours,
-- eights; two eights, five words apart, are a thirteen). What is reported of a pair is computed anew from its texts,
-- so a collision reports nothing.
-- reads: questions, sought
WITH texts AS (
    SELECT true AS ours, row_key, words FROM questions
    UNION ALL
    SELECT false, row_key, words FROM sought
),
ones AS (SELECT ours, row_key, list_transform(string_split(words, ' '), lambda w: hash(w)) AS h FROM texts),
twos AS (SELECT ours, row_key, list_transform(range(1, len(h)), lambda i: hash(h[i], h[i + 1])) AS h FROM ones),
fours AS (SELECT ours, row_key, list_transform(range(1, len(h) - 1), lambda i: hash(h[i], h[i + 2])) AS h FROM twos),
eights AS (SELECT ours, row_key, list_transform(range(1, len(h) - 3), lambda i: hash(h[i], h[i + 4])) AS h FROM fours),
sequences AS (
    SELECT ours, row_key, 8 AS n, unnest(h) AS gram FROM eights
    UNION ALL
    SELECT ours, row_key, 13, unnest(list_transform(range(1, len(h) - 4), lambda i: hash(h[i], h[i + 5]))) FROM eights
),
theirs AS MATERIALIZED (SELECT DISTINCT row_key, n, gram FROM sequences WHERE NOT ours),
-- all but a few problems share nothing with anything: only for the others is anything counted
touched AS MATERIALIZED (
    SELECT DISTINCT o.row_key
    FROM (SELECT row_key, unnest(h) AS gram FROM eights WHERE ours) AS o
    SEMI JOIN (SELECT gram FROM theirs WHERE n = 8) AS t ON t.gram = o.gram
),
mine AS MATERIALIZED (
    SELECT DISTINCT s.row_key, s.n, s.gram
    FROM sequences AS s
    SEMI JOIN touched AS t ON t.row_key = s.row_key
    WHERE s.ours
),
sizes AS (
    SELECT row_key, count(*) FILTER (n = 8) AS eights, count(*) FILTER (n = 13) AS thirteens
    FROM (SELECT 'mine ' || row_key AS row_key, n FROM mine UNION ALL SELECT 'theirs ' || row_key, n FROM theirs)
    GROUP BY row_key
),
shared AS (
    SELECT
        m.row_key AS problem_key,
        t.row_key AS benchmark_key,
        count(*) FILTER (m.n = 8) AS eights,
        count(*) FILTER (m.n = 13) AS thirteens
    FROM mine AS m
    JOIN theirs AS t ON t.n = m.n AND t.gram = m.gram
    GROUP BY ALL
),
measured AS (
    SELECT
        s.problem_key,
        s.benchmark_key,
        b.benchmark,
        s.eights / (m.eights + t.eights - s.eights) AS jaccard_8,
        coalesce(s.thirteens / nullif(m.thirteens + t.thirteens - s.thirteens, 0), 0) AS jaccard_13,
        s.eights / t.eights AS containment
    FROM shared AS s
    JOIN sizes AS m ON m.row_key = 'mine ' || s.problem_key
    JOIN sizes AS t ON t.row_key = 'theirs ' || s.benchmark_key
    JOIN sought AS b ON b.row_key = s.benchmark_key
),
best AS (
    SELECT problem_key, benchmark_key
    FROM measured
    QUALIFY 1 IN (
        row_number() OVER (PARTITION BY problem_key, benchmark ORDER BY jaccard_8 DESC, benchmark_key),
        row_number() OVER (PARTITION BY problem_key, benchmark ORDER BY jaccard_13 DESC, benchmark_key),
        row_number() OVER (PARTITION BY problem_key, benchmark ORDER BY containment DESC, benchmark_key)
    )
    UNION
    SELECT q.row_key, b.row_key
    FROM questions AS q
    JOIN sought AS b ON b.words = q.words
    WHERE q.words <> ''
),
compared AS (
    SELECT
        p.problem_key || ' ~ ' || p.benchmark_key AS row_key,
        p.problem_key,
        b.benchmark,
        p.benchmark_key,
        q.words = b.words AS same_text,
        ngram_jaccard(q.question, b.question, 8) AS jaccard_8,
        ngram_jaccard(q.question, b.question, 13) AS jaccard_13,
        ngram_containment(b.question, q.question, 8) AS containment,
        shared_passage(q.question, b.question) AS passage,
        q.question,
        b.question AS benchmark_question
    FROM best AS p
    JOIN questions AS q ON q.row_key = p.problem_key
    JOIN sought AS b ON b.row_key = p.benchmark_key
)
SELECT *, len(string_split(passage, ' ')) AS passage_words
FROM compared
WHERE jaccard_8 > 0 OR same_text
ORDER BY row_key
