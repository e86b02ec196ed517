-- All that was asked, where no shard of the realm holds any of it yet and nothing was asked twice: those of the sample
-- first, then in the order in which they were asked. As ``todo`` has it, but nothing is held in memory or sorted.
-- reads: asked
-- $sample: the last id of the sample
SELECT (row_number() OVER () - 1)::BIGINT AS place, *
FROM (
    SELECT round, position, request_id, input_tokens, input_bound
    FROM (SELECT * FROM asked WHERE request_id <= $sample ORDER BY round, position)
    UNION ALL
    SELECT round, position, request_id, input_tokens, input_bound FROM asked WHERE request_id > $sample
)
