-- The results of the sample's requests.
-- reads: landed_all, evidence
SELECT * FROM landed_all WHERE request_id IN (SELECT request_id FROM evidence)
