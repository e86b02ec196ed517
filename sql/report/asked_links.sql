-- The links so far and the short texts of the rows that were asked about.
-- reads: links, evidence
-- $longest: characters; a longer text is content and no key
WITH found AS (SELECT place, unnest(json_extract_string(to_json(row), '$.*')) AS key FROM evidence)
SELECT place, key FROM links
UNION
SELECT place, key FROM found WHERE length(key) BETWEEN 1 AND $longest
