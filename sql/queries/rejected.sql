-- What was spent on each problem over all stages, by what became of it: drafted, verified, solved, judged, arbitrated.
-- Disputed: nobody arrived at its answer who had not seen it, so it is not for training. Every dollar of the run is in
-- one row; the last row is the sum. A trace's judgement counts to its problem; requests that several
-- rows share are split among them.
-- reads: outcomes, problems, conversions, screened, verdict_a, verdict_b, verified, solutions, dataset
WITH charges AS (
    SELECT
        stage,
        row_key,
        sample,
        outcome,
        input_tokens / rows AS input_tokens,
        output_tokens / rows AS output_tokens,
        usd::DOUBLE / rows AS usd,
        1 / rows AS requests
    FROM (
        SELECT *, count(*) OVER (PARTITION BY realm, shard, attempt, request_id, outcome) AS rows FROM outcomes
    )
),
assigned AS (
    SELECT
        c.*,
        CASE
            WHEN c.stage = 'problems' THEN c.row_key || if(c.sample = 1, '', '-' || c.sample)
            WHEN c.stage IN (
                'conversions', 'verdict_a', 'verdict_b', 'solutions', 'arbitration', 'arbitration_judgements'
            ) THEN c.row_key
            WHEN c.stage = 'judgements' THEN s.problem_key
        END AS problem_key
    FROM charges AS c
    LEFT JOIN solutions AS s ON c.stage = 'judgements' AND s.row_key = split_part(c.row_key, '#', 1)
),
labels AS (
    SELECT
        problem_key,
        CASE
            WHEN bool_and(reference = 'disputed') THEN 'kept, reference disputed'
            WHEN bool_or(correctness) THEN 'kept, with a correct trace'
            WHEN bool_or(correctness IS false) THEN 'kept, no correct trace'
            WHEN bool_or(solution IS NOT NULL) THEN 'kept, nobody could tell'
            ELSE 'kept, no trace'
        END AS fate
    FROM dataset
    GROUP BY problem_key
),
verdicts AS (
    SELECT
        row_key,
        kept,
        CASE
            WHEN NOT on_topic THEN 'off topic'
            WHEN NOT self_contained THEN 'not self-contained'
            WHEN NOT single_answer THEN 'no single answer'
            WHEN NOT answer_correct THEN 'wrong answer'
            WHEN own_match = 'no' THEN 'another own result'
            ELSE 'said discard'
        END AS why,
        verifier
    FROM (
        SELECT row_key, kept, on_topic, self_contained, single_answer, answer_correct, own_match, 'a' AS verifier
        FROM verdict_a
        UNION ALL
        SELECT row_key, kept, on_topic, self_contained, single_answer, answer_correct, own_match, 'b'
        FROM verdict_b
    )
),
fates AS (
    SELECT
        p.row_key AS problem_key,
        CASE
            WHEN l.fate IS NOT NULL THEN l.fate
            WHEN v.row_key IS NOT NULL THEN 'verified, not in the data set yet'
            WHEN s.reason <> 'ok' THEN 'screened out: ' || s.reason
            WHEN a.kept IS false THEN 'rejected by a: ' || a.why
            WHEN b.kept IS false THEN 'rejected by b: ' || b.why
            WHEN a.kept THEN 'no verdict of b'
            ELSE 'no verdict of a'
        END AS fate
    FROM (
        SELECT row_key FROM problems
        UNION ALL
        SELECT row_key FROM conversions WHERE part > 0
    ) AS p
    LEFT JOIN screened AS s ON s.row_key = p.row_key
    LEFT JOIN verdicts AS a ON a.row_key = p.row_key AND a.verifier = 'a'
    LEFT JOIN verdicts AS b ON b.row_key = p.row_key AND b.verifier = 'b'
    LEFT JOIN verified AS v ON v.row_key = p.row_key
    LEFT JOIN labels AS l ON l.problem_key = p.row_key
),
spent AS (
    SELECT
        CASE
            WHEN f.fate IS NOT NULL THEN f.fate
            WHEN c.row_key IS NULL THEN 'no longer asked'
            WHEN c.stage = 'problems' THEN 'no usable draft'
            WHEN c.problem_key IS NOT NULL THEN 'no longer drafted'
            ELSE 'not of one problem: ' || c.stage
        END AS fate,
        c.problem_key,
        c.requests,
        c.input_tokens,
        c.output_tokens,
        c.usd
    FROM assigned AS c
    LEFT JOIN fates AS f ON f.problem_key = c.problem_key
)
SELECT
    coalesce(fate, 'all') AS fate,
    count(DISTINCT problem_key) AS problems,
    round(coalesce(sum(requests), 0))::BIGINT AS requests,
    round(coalesce(sum(input_tokens), 0))::BIGINT AS input_tokens,
    round(coalesce(sum(output_tokens), 0))::BIGINT AS output_tokens,
    round(coalesce(sum(usd), 0), 6) AS usd,
    round(sum(usd) / nullif(any_value(usd_run), 0), 4) AS part,
    round(sum(usd) / nullif(count(DISTINCT problem_key), 0), 6) AS usd_per_problem
FROM (SELECT *, sum(usd) OVER () AS usd_run FROM spent)
GROUP BY GROUPING SETS ((fate), ())
ORDER BY grouping(fate), usd DESC, fate
