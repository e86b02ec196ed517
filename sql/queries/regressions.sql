-- What training did elsewhere: the base-against-tuned difference on every benchmark, falls first. Look at all of them,
-- not at the target alone: by the notes on "More Data or Better Data?" each method that helped MATH cost another one.
-- fell: the whole interval is below 0. From the table of manifests/evaluate.yaml, at the smallest k.
-- reads: comparison
SELECT
    row_key,
    solver,
    benchmark,
    questions,
    base_pass,
    pass,
    difference,
    difference_low,
    difference_high,
    CASE verdict WHEN 'worse' THEN 'fell' WHEN 'better' THEN 'rose' ELSE verdict END AS verdict
FROM comparison
QUALIFY k = min(k) OVER (PARTITION BY solver, benchmark)
ORDER BY difference, row_key
