-- Whether no shard of the realm holds any of what was asked, and nothing was asked twice.
-- reads: asked, placed_ids
SELECT (SELECT count(*) FROM asked) = (SELECT count(*) FROM placed_ids WHERE shard IS NULL) AS nothing
