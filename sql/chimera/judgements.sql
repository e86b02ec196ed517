-- The judge's decision on each doubtful trace. With several samples all votes have to say that the answers are the
-- same; a vote that found no answer to compare never says so.
-- reads: answers
WITH votes AS (
    SELECT
        row_key,
        sample,
        model,
        answer ->> 'reason' AS said,
        (answer -> 'same')::BOOLEAN
        AND lower(trim(answer ->> 'extracted')) NOT IN ('', 'none', 'n/a', 'null') AS same
    FROM answers
    WHERE outcome = 'ok'
)
SELECT
    row_key,
    bool_and(same) AS same,
    count(*) AS votes,
    count(*) FILTER (same) AS yes_votes,
    coalesce(arg_min(said, sample) FILTER (NOT same), arg_min(said, sample)) AS reason,
    arg_min(model, sample) AS judge_model
FROM votes
GROUP BY row_key
ORDER BY row_key
