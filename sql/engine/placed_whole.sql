-- Each wanted request of the stage with the shard that holds it, where the shards hold just these and one ceiling is that
-- of all (``placed_alike``). As ``placed_first`` has it, but nothing is joined.
-- reads: placed_before, fresh_members
SELECT request_id, shard, (SELECT min(ceiling) FROM placed_before) AS ceiling
FROM fresh_members
