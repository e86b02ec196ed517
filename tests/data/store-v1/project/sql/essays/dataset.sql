-- Drafts with their reviews.
-- reads: drafts, reviews
SELECT d.row_key, d.topic, d.title, r.good FROM drafts AS d JOIN reviews AS r ON r.row_key = d.row_key
