-- Every problem that shares wording with a benchmark question, with the evidence: the measures, the longest passage
-- that both have, and what follows from it. Worst first.
-- reads: contamination, matches
SELECT
    o.problem_key,
    o.benchmark_key,
    c.verdict,
    c.verdict NOT IN ('some wording', 'clean') AS dropped,
    round(o.jaccard_8, 6) AS jaccard_8,
    round(o.jaccard_13, 6) AS jaccard_13,
    round(o.containment, 4) AS containment,
    o.passage_words,
    o.passage
FROM matches AS o
JOIN contamination AS c ON c.problem_key = o.problem_key AND c.benchmark = o.benchmark
ORDER BY o.same_text DESC, o.containment DESC, o.jaccard_8 DESC, o.problem_key, o.benchmark_key
