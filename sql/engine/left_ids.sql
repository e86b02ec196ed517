-- Ids of a round's rows where a model is asked that the stage has left: the request of each sample that is answered
-- there, by the first such model of its list.
-- reads: ids_at_left, ok_at_left
-- $samples: requests of each row
SELECT place, sample, arg_min(request_id, rank) AS request_id
FROM (
    SELECT rank, place, unnest(string_split(ids, ' ')) AS request_id, unnest(range(1, $samples + 1))::INTEGER AS sample
    FROM ids_at_left
)
WHERE (rank, request_id) IN (SELECT rank, request_id FROM ok_at_left)
GROUP BY place, sample
