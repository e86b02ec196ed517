-- What became of the requests of each stage: how many of each outcome, with one example of those that are not ok.
-- reads: outcomes
SELECT
    stage,
    outcome,
    code,
    count(*) AS requests,
    round(count(*) / sum(count(*)) OVER (PARTITION BY stage), 4) AS part,
    max(attempt) AS attempts,
    if(outcome = 'ok', NULL, min(row_key)) AS example,
    if(outcome = 'ok', NULL, arg_min(message, row_key)) AS message
FROM outcomes
GROUP BY stage, outcome, code
ORDER BY stage, outcome <> 'ok', requests DESC, outcome, code
