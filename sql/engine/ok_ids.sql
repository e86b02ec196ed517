-- Requests with an answer that is usable.
-- reads: landed
-- $rank: of the model that gave it
SELECT DISTINCT $rank::INTEGER AS rank, request_id FROM landed WHERE outcome = 'ok'
