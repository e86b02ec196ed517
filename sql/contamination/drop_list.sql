-- The problems that should not be trained on if these benchmarks are to mean anything, each with its reason and with
-- the benchmark question that it is too close to.
-- reads: contamination, matches
SELECT
    c.problem_key AS row_key,
    arg_min(c.verdict, c.row_key) AS reason,
    arg_min(c.benchmark_key, c.row_key) AS benchmark_key,
    list(DISTINCT c.benchmark ORDER BY c.benchmark) AS benchmarks,
    max(c.containment) AS containment,
    max(c.jaccard_8) AS jaccard_8,
    arg_max(o.passage, o.passage_words) AS passage
FROM contamination AS c
LEFT JOIN matches AS o ON o.problem_key = c.problem_key AND o.benchmark = c.benchmark
WHERE c.verdict NOT IN ('some wording', 'clean')
GROUP BY c.problem_key
ORDER BY row_key
