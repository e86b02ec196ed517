-- The paper's measure of contamination, by benchmark: the mean over problems of the highest Jaccard index of their
-- distinct n-word sequences with any benchmark question's, n = 8 and 13. Beside it what a mean hides: how many problems
-- share anything, the highest index, and how many are on the drop list.
-- reads: contamination
SELECT
    benchmark,
    count(*) AS problems,
    avg(jaccard_8) AS mean_8,
    avg(jaccard_13) AS mean_13,
    max(jaccard_8) AS highest_8,
    max(jaccard_13) AS highest_13,
    count(*) FILTER (jaccard_8 > 0) AS sharing_8,
    count(*) FILTER (jaccard_13 > 0) AS sharing_13,
    count(*) FILTER (verdict NOT IN ('some wording', 'clean')) AS dropped
FROM contamination
GROUP BY benchmark
ORDER BY benchmark
