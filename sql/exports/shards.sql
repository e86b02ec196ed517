-- Where a split is cut into files: the first and the last place of each, so that none but the last has less text than
-- wanted, and none more than that and one row.
-- reads: placed_in_order
-- $bytes: of text in one file
WITH sized AS (
    SELECT __place AS place, strlen(p::VARCHAR) AS size FROM placed_in_order AS p
),
cut AS (
    SELECT place, (sum(size) OVER (ORDER BY place ROWS UNBOUNDED PRECEDING) - size) // $bytes AS shard FROM sized
)
SELECT min(place) AS first, max(place) AS last
FROM cut
GROUP BY shard
ORDER BY first
