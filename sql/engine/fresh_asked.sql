-- What an earlier drawing of the round asked.
-- reads: fresh_asked
SELECT * FROM fresh_asked
