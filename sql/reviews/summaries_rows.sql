-- One row per product with enough reviews: its reviews, each with the sentiment that the stage before found.
-- reads: classified
-- $min_reviews: products with fewer reviews are left out
SELECT
    trim(regexp_replace(lower(product), '[^\p{L}\p{N}]+', '-', 'g'), '-') AS row_key,
    product,
    count(*) AS review_count,
    string_agg('[' || sentiment || '] ' || review, chr(10) ORDER BY row_key) AS reviews
FROM classified
GROUP BY product
HAVING count(*) >= $min_reviews
ORDER BY product
