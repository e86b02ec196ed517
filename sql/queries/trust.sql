-- The bars that the data has to hold, on planted faults: our pipeline beside the paper's on the same cases. cases: how
-- many there were of what is counted. holds: whether ours is on the right side of the bar.
-- Runs over the tables that bench.trust lays beside each other.
-- reads: confusion, checks
WITH counted AS (
    SELECT
        1 AS place, 'wrong references kept' AS measure, 0.01 AS at_most,
        sum(ours) AS cases, sum(ours_passed) / sum(ours) AS part,
        sum(paper) AS paper_cases, sum(paper_passed) / sum(paper) AS paper_part
    FROM confusion
    WHERE what = 'problem' AND fault IN ('wrong_answer', 'wrong_part', 'converted: wrong_answer')
    UNION ALL
    SELECT 2, 'good problems lost', 0.03, ours, 1 - ours_passed / ours, paper, 1 - paper_passed / paper
    FROM confusion
    WHERE what = 'problem' AND fault = 'sound'
    UNION ALL
    SELECT
        3, 'wrong traces labelled correct', 0.005, sum(ours), sum(ours_passed) / sum(ours),
        sum(paper), sum(paper_passed) / sum(paper)
    FROM confusion
    WHERE
        what = 'trace'
        AND fault IN ('wrong_trace', 'other_problem', 'empty', 'claims_agreement', 'addresses_judge')
    UNION ALL
    SELECT
        4, 'duplicate topics left', 0.01, sum(ours_passed),
        sum(ours_passed) FILTER (fault = 'duplicate') / sum(ours_passed),
        sum(paper_passed), sum(paper_passed) FILTER (fault = 'duplicate') / sum(paper_passed)
    FROM confusion
    WHERE what = 'topic'
    UNION ALL
    SELECT 5, 'traces left to a judge', 0.3, count(*), avg(if(doubt, 1, 0)), NULL, 1 FROM checks
)
SELECT
    measure,
    at_most::DOUBLE AS at_most,
    cases::BIGINT AS cases,
    round(part, 4) AS ours,
    part <= at_most AS holds,
    paper_cases::BIGINT AS paper_cases,
    round(paper_part, 4) AS paper
FROM counted
ORDER BY place
