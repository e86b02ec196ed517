-- The rows of a round as they were asked, in their order.
-- reads: fresh_asked
SELECT unnest(row) FROM fresh_asked WHERE sample = 1 ORDER BY position
