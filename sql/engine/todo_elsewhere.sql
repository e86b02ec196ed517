-- How many requests that are to be packed were not asked in this round.
-- reads: fresh_todo
-- $round: its number
SELECT count(*) FILTER (round <> $round) AS elsewhere FROM fresh_todo
