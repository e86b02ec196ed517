-- Every name that was merged into another topic: which, why (same words, near duplicate, fuzzy, embedding, model), and
-- how alike they are: the share of common words, the likeness of letters, the cosine, or the model's votes for it.
-- reads: topic_decisions
SELECT subject, topic, merged_into, decision AS reason, measure, topic_id, row_key AS named_as
FROM topic_decisions
WHERE merged_into IS NOT NULL
ORDER BY subject, merged_into, topic, named_as
