-- Every topic as it was named, one row each: nothing is left out here.
-- reads: answers
SELECT
    a.row_key || if(a.sample = 1, '', '-' || a.sample) || '/' || x.place AS row_key,
    a.round,
    a.subject,
    a.area,
    trim(x.t.area) AS branch,
    trim(x.t.topic) AS topic,
    a.row_key AS asked_by,
    x.place::INTEGER AS place
FROM
    answers AS a,
    unnest(from_json(a.answer -> 'topics', '[{"area": "VARCHAR", "topic": "VARCHAR"}]')) WITH ORDINALITY AS x (t, place)
WHERE a.outcome = 'ok' AND trim(x.t.topic) <> ''
ORDER BY row_key
