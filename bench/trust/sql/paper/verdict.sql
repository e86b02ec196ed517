-- One verifier's verdict on each problem, as it says it.
-- reads: answers
SELECT row_key, answer ->> 'verdict' = 'keep' AS kept, answer ->> 'reason' AS reason
FROM answers
WHERE outcome = 'ok'
ORDER BY row_key
