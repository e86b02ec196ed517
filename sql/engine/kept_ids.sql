-- The ids of rows, each sample's as it was answered at a model that the stage has left, else as it is asked now.
-- reads: ids, left_ids
-- $samples: requests of each row
WITH now AS (
    SELECT place, unnest(string_split(ids, ' ')) AS request_id, unnest(range(1, $samples + 1))::INTEGER AS sample
    FROM ids
    WHERE place IN (SELECT place FROM left_ids)
),
kept AS (
    SELECT n.place, string_agg(coalesce(l.request_id, n.request_id), ' ' ORDER BY n.sample) AS ids
    FROM now AS n
    LEFT JOIN left_ids AS l ON l.place = n.place AND l.sample = n.sample
    GROUP BY n.place
)
SELECT i.place, coalesce(k.ids, i.ids) AS ids, i.input_tokens, i.input_bound
FROM ids AS i
LEFT JOIN kept AS k ON k.place = i.place
ORDER BY i.place
