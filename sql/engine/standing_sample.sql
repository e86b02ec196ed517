-- The requests of the sample alone, as they stand.
-- reads: standing
-- $upto: the last id of the sample
SELECT * FROM standing WHERE request_id <= $upto
