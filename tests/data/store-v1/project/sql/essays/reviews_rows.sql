-- One row per draft.
-- reads: drafts
SELECT row_key, title FROM drafts ORDER BY row_key
