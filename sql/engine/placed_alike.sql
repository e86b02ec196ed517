-- Whether the shards that were added hold just what is wanted, each request once, and all with one ceiling. Ids are
-- digests: no other set of as many has the same sum and the same bits of their hashes.
-- reads: placed_before, fresh_members
WITH wanted AS (
    SELECT
        count(*) AS requests,
        sum(hash(request_id)) AS total,
        bit_xor(hash(request_id)) AS bits,
        min(ceiling) = max(ceiling) AS level
    FROM placed_before
),
held AS (
    SELECT count(*) AS requests, sum(hash(request_id)) AS total, bit_xor(hash(request_id)) AS bits FROM fresh_members
)
SELECT w.requests = h.requests AND w.total = h.total AND w.bits = h.bits AND w.level AS alike
FROM wanted AS w, held AS h
