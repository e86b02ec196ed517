-- What became of every kind of planted fault, in our pipeline and in the paper's on the same drafts and traces: how
-- many there were and how many passed. A problem passes if it is in the data set with a verified reference (the
-- paper's: if both verifiers kept it), a trace if it is labelled correct, a topic if it is kept. Of sound ones it is
-- good to pass. Problems are counted once for each different one: 'sound' passes if any draft of it does; 'duplicate'
-- is every further draft of the same one. 'converted' are problems made of drafts that nobody could check. Traces are
-- those of each pipeline's own problems; 'of a faulty problem' are those of problems that have no right answer. Topics
-- that are sound and did not pass were over their quota, or taken for another's name.
-- Runs over the tables that bench.trust lays beside each other.
-- reads: dataset, paper_dataset, truth_topics, truth_problems, truth_traces
WITH kept AS (
    SELECT DISTINCT 'ours' AS pipeline, problem_key FROM dataset WHERE reference = 'verified'
    UNION ALL
    SELECT DISTINCT 'paper', problem_key FROM paper_dataset
),
judged AS (
    SELECT 'ours' AS pipeline, row_key AS trace_key, correctness FROM dataset WHERE solution IS NOT NULL
    UNION ALL
    SELECT 'paper', trace_key, correctness FROM paper_dataset WHERE trace_key IS NOT NULL
),
pipelines AS (FROM (VALUES ('ours'), ('paper')) AS v (pipeline)),
drafts AS (
    SELECT p.pipeline, t.*, k.problem_key IS NOT NULL AS passes
    FROM truth_problems AS t
    CROSS JOIN pipelines AS p
    LEFT JOIN kept AS k ON k.pipeline = p.pipeline AND k.problem_key = t.row_key
    WHERE p.pipeline = 'ours' OR NOT t.converted::BOOLEAN
),
named AS (
    -- names of one topic; the paper drops equal ones alone
    SELECT
        p.pipeline,
        t.same_as,
        t.fault,
        count(*) AS names,
        count(*) FILTER (if(p.pipeline = 'ours', t.kept, t.kept_by_set)::BOOLEAN) AS passed
    FROM truth_topics AS t
    CROSS JOIN pipelines AS p
    GROUP BY ALL
),
alike AS (
    -- sound drafts of one problem
    SELECT pipeline, same_as, count(*) AS drafts, count(*) FILTER (passes) AS passed
    FROM drafts
    WHERE fault = 'sound' AND NOT converted::BOOLEAN
    GROUP BY pipeline, same_as
),
counted AS (
    SELECT pipeline, 'problem' AS what, 'sound' AS fault, count(*) AS planted, count(*) FILTER (passed > 0) AS passed
    FROM alike
    GROUP BY pipeline
    UNION ALL
    SELECT pipeline, 'problem', 'duplicate', sum(drafts - 1), sum(greatest(passed - 1, 0))
    FROM alike
    GROUP BY pipeline
    UNION ALL
    SELECT pipeline, 'problem', if(converted::BOOLEAN, 'converted: ', '') || fault, count(*), count(*) FILTER (passes)
    FROM drafts
    WHERE fault <> 'sound' OR converted::BOOLEAN
    GROUP BY ALL
    UNION ALL
    SELECT j.pipeline, 'trace', t.fault, count(*), count(*) FILTER (j.correctness)
    FROM judged AS j
    JOIN truth_traces AS t ON t.row_key = j.trace_key
    GROUP BY ALL
    UNION ALL
    SELECT pipeline, 'topic', 'sound', count(*), count(*) FILTER (passed > 0)
    FROM named
    WHERE fault = 'sound'
    GROUP BY pipeline
    UNION ALL
    SELECT pipeline, 'topic', 'duplicate', sum(names - 1), sum(greatest(passed - 1, 0))
    FROM named
    WHERE fault = 'sound'
    GROUP BY pipeline
    UNION ALL
    SELECT pipeline, 'topic', fault, sum(names), sum(passed) FROM named WHERE fault <> 'sound' GROUP BY ALL
)
SELECT
    what || '/' || fault AS row_key,
    what,
    fault,
    max(planted) FILTER (pipeline = 'ours')::BIGINT AS ours,
    max(passed) FILTER (pipeline = 'ours')::BIGINT AS ours_passed,
    round(max(passed / nullif(planted, 0)) FILTER (pipeline = 'ours'), 4) AS ours_part,
    max(planted) FILTER (pipeline = 'paper')::BIGINT AS paper,
    max(passed) FILTER (pipeline = 'paper')::BIGINT AS paper_passed,
    round(max(passed / nullif(planted, 0)) FILTER (pipeline = 'paper'), 4) AS paper_part
FROM counted
GROUP BY what, fault
ORDER BY row_key
