-- Every candidate and what became of it: kept if enough regenerated answers say what the given one says.
-- reason: agrees, disagrees, no answer (nothing to compare with came back), empty (no question or no answer was given).
-- reads: candidates, verified, solutions, checks, judgements
-- $agreeing: how many regenerated answers have to agree (1; at most the samples of the stage `solutions`)
WITH compared AS (
    SELECT
        s.problem_key,
        s.sample,
        c.final_answer,
        coalesce(if(c.doubt, j.same, c.match = 'yes'), false) AS same,
        concat_ws(': ', c.reason, j.reason) AS said
    FROM solutions AS s
    LEFT JOIN checks AS c ON c.row_key = s.row_key
    LEFT JOIN judgements AS j ON j.row_key = s.row_key
),
counted AS (
    SELECT
        problem_key,
        count(final_answer) AS answers,
        count(*) FILTER (same) AS agreeing,
        arg_min(final_answer, sample) AS regenerated,
        arg_min(said, sample) AS evidence
    FROM compared
    GROUP BY problem_key
)
SELECT
    a.row_key,
    a.question,
    a.answer::VARCHAR AS answer,
    c.regenerated,
    coalesce(c.answers, 0) AS answers,
    coalesce(c.agreeing, 0) AS agreeing,
    coalesce(c.agreeing, 0) >= $agreeing AS kept,
    CASE
        WHEN v.row_key IS NULL THEN 'empty'
        WHEN coalesce(c.answers, 0) < $agreeing THEN 'no answer'
        WHEN c.agreeing >= $agreeing THEN 'agrees'
        ELSE 'disagrees'
    END AS reason,
    c.evidence
FROM candidates AS a
LEFT JOIN verified AS v ON v.row_key = a.row_key
LEFT JOIN counted AS c ON c.problem_key = a.row_key
ORDER BY a.row_key
