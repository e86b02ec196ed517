-- The links so far and the short texts of the rows that they lead to: row keys of tables above may be among them.
-- reads: links, followed
-- $longest: characters; a longer text is content and no key
WITH found AS (
    SELECT l.place, unnest(json_extract_string(to_json(f), '$.*')) AS key
    FROM followed AS f
    JOIN links AS l ON l.key = f.row_key
)
SELECT place, key FROM links
UNION
SELECT place, key FROM found WHERE length(key) BETWEEN 1 AND $longest
