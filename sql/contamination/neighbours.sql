-- For each problem and benchmark the question that is nearest in meaning, by the cosine of sentence embeddings: finds
-- paraphrases, which share no wording. Empty unless it is switched on; then about 0.15 s of processor time a question.
-- reads: questions, sought
-- $near_meaning: a cosine from which on a neighbour is kept (0.9 for a start), or null: off. Needs the extra `embed`
WITH ours AS MATERIALIZED (
    SELECT row_key, sentence_embedding(question) AS embedding FROM questions WHERE $near_meaning IS NOT NULL
),
theirs AS MATERIALIZED (
    SELECT row_key, benchmark, sentence_embedding(question) AS embedding FROM sought WHERE $near_meaning IS NOT NULL
)
SELECT
    o.row_key || ' ~ ' || t.benchmark AS row_key,
    o.row_key AS problem_key,
    t.benchmark,
    arg_max(t.row_key, list_dot_product(o.embedding, t.embedding) ORDER BY t.row_key) AS benchmark_key,
    max(list_dot_product(o.embedding, t.embedding))::DOUBLE AS cosine
FROM ours AS o
CROSS JOIN theirs AS t
GROUP BY o.row_key, t.benchmark
HAVING cosine >= $near_meaning
ORDER BY row_key
