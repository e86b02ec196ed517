-- Requests that would be sent now, with what prices them; how many there are of those that are alike.
-- tried: the output ceiling that an answer was cut at, so that the next one is longer than that; 0 for all others
-- reads: asked, standing, history
-- $upto: the last id that counts: that of a sample, or one behind all
WITH open AS (
    SELECT * FROM standing WHERE state IN ('not_asked', 'packed', 'retryable') AND request_id <= $upto
),
first_asked AS (
    SELECT request_id, any_value(input_tokens) AS input_tokens, max(input_bound) AS input_bound
    FROM asked
    WHERE request_id IN (SELECT request_id FROM open)
    GROUP BY request_id
)
SELECT
    f.input_tokens,
    f.input_bound,
    s.ceiling,
    if(h.last = 'truncated', h.last_ceiling, 0) AS tried,
    count(*) AS requests
FROM open AS s
JOIN first_asked AS f ON f.request_id = s.request_id
LEFT JOIN history AS h ON h.request_id = s.request_id
GROUP BY ALL
