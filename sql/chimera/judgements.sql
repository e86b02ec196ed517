-- The judge's decision on each doubtful trace. All its doubtful parts have to be the same, and with several samples all
-- votes have to say so; a vote that found no answer to compare never does. Where a part has no vote, only a vote
-- against another part decides.
-- reads: answers
WITH votes AS (
    SELECT
        row_key AS part_key,
        split_part(row_key, '#', 1) AS trace_key,
        sample,
        outcome = 'ok' AS voted,
        model,
        answer ->> 'reason' AS said,
        (answer -> 'same')::BOOLEAN
        AND lower(trim(answer ->> 'extracted')) NOT IN ('', ':', '.', 'none', 'n/a', 'null') AS same
    FROM answers
)
SELECT
    trace_key AS row_key,
    bool_and(same) FILTER (voted) AS same,
    count(*) FILTER (voted) AS votes,
    count(*) FILTER (voted AND same) AS yes_votes,
    coalesce(
        arg_min(said, (part_key, sample)) FILTER (voted AND NOT same), arg_min(said, (part_key, sample)) FILTER (voted)
    ) AS reason,
    arg_min(model, (part_key, sample)) FILTER (voted) AS judge_model
FROM votes
GROUP BY trace_key
HAVING
    bool_or(NOT same) FILTER (voted)
    OR count(DISTINCT part_key) FILTER (voted) = count(DISTINCT part_key)
ORDER BY row_key
