-- Every batch of the run.
-- reads: attempts
SELECT * FROM attempts ORDER BY sent_at, shard, attempt
