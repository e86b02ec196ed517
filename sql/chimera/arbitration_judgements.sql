-- The judge's word on each of the arbiter's answers that the rules could not compare. All votes have to say the same,
-- and one that found no answer to compare never says so.
-- reads: answers
SELECT
    row_key,
    bool_and((answer -> 'same')::BOOLEAN AND lower(trim(answer ->> 'extracted')) NOT IN ('', 'none', 'n/a', 'null'))
    AS same,
    count(*) AS votes,
    arg_min(answer ->> 'reason', sample) AS reason
FROM answers
WHERE outcome = 'ok'
GROUP BY row_key
ORDER BY row_key
