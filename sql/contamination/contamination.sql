-- The record of every problem against every benchmark: the highest measures, those that are zero too, and a verdict.
-- jaccard_8, jaccard_13: of distinct 8- and 13-word sequences. containment: part of a benchmark question's 8-word
-- sequences that the problem has. cosine: NULL where no neighbour was near, or embeddings are off.
-- reads: questions, sought, matches, neighbours
-- $contained: from this containment on a problem holds the benchmark's question
-- $passage_words: from this length on a run of common words is no coincidence
WITH worst AS (
    SELECT
        problem_key,
        benchmark,
        bool_or(same_text) AS same_text,
        max(jaccard_8) AS jaccard_8,
        max(jaccard_13) AS jaccard_13,
        max(containment) AS containment,
        max(passage_words) AS passage_words,
        arg_max(benchmark_key, (same_text, containment, jaccard_8, benchmark_key)) AS benchmark_key
    FROM matches
    GROUP BY problem_key, benchmark
)
SELECT
    q.row_key || ' ~ ' || b.benchmark AS row_key,
    q.row_key AS problem_key,
    q.subject,
    b.benchmark,
    coalesce(w.jaccard_8, 0) AS jaccard_8,
    coalesce(w.jaccard_13, 0) AS jaccard_13,
    coalesce(w.containment, 0) AS containment,
    coalesce(w.passage_words, 0) AS passage_words,
    n.cosine,
    CASE
        WHEN w.same_text THEN 'same text'
        WHEN w.containment >= $contained THEN 'question contained'
        WHEN w.passage_words >= $passage_words THEN 'shared passage'
        WHEN n.cosine IS NOT NULL THEN 'near meaning'
        WHEN w.jaccard_8 > 0 THEN 'some wording'
        ELSE 'clean'
    END AS verdict,
    coalesce(w.benchmark_key, n.benchmark_key) AS benchmark_key
FROM questions AS q
CROSS JOIN (SELECT DISTINCT benchmark FROM sought) AS b
LEFT JOIN worst AS w ON w.problem_key = q.row_key AND w.benchmark = b.benchmark
LEFT JOIN neighbours AS n ON n.problem_key = q.row_key AND n.benchmark = b.benchmark
ORDER BY row_key
