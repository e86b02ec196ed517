-- One row per topic.
-- reads: nothing
-- $topics: what to write about
SELECT 'topic-' || topic AS row_key, topic FROM (SELECT unnest($topics) AS topic) ORDER BY row_key
