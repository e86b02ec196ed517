-- The passages worth keeping.
-- reads: drafts
SELECT row_key, subject, topic, note FROM drafts WHERE kept
