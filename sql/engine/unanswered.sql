-- Requests that were heard of but not answered: the ones to decide about.
-- reads: history
SELECT request_id, wanted_ceiling, last, last_transient, last_ceiling,
    truncated, refused, invalid, error, transient, expired, cancelled, missing
FROM history
WHERE NOT ok AND last IS NOT NULL
