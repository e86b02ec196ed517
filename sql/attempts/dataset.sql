-- The pipeline's data set again, column for column, with `use` settled by what the trained model can do.
-- 'rl' stays on a problem if $rl says so; other columns are as they were. With 'paper', every problem that has an SFT
-- trace gets a row for RL too (row key …/rl, no trace), as the paper trains RL on its SFT set and the solved ones.
-- reads: labelled, tried
-- $rl: solved (only what the model solves within its tries), unsolved too (every verified problem without a correct
-- trace), paper (solved, and the problems of the SFT set)
WITH settled AS (
    SELECT
        d.* REPLACE (if(d.use = 'rl' AND $rl <> 'unsolved too' AND NOT coalesce(a.within, false), NULL, d.use) AS use)
    FROM labelled AS d
    LEFT JOIN tried AS a ON a.row_key = d.problem_key
),
again AS (
    SELECT
        * REPLACE (
            problem_key || '/rl' AS row_key, 'rl' AS use, NULL AS solution, NULL AS correctness, NULL AS final_answer
        )
    FROM settled
    WHERE use = 'sft' AND $rl = 'paper'
    QUALIFY row_number() OVER (PARTITION BY problem_key ORDER BY index) = 1
),
every AS (
    SELECT *, 0 AS part FROM settled
    UNION ALL BY NAME
    SELECT *, 1 AS part FROM again
)
SELECT * EXCLUDE (part) REPLACE ((row_number() OVER (ORDER BY index, part) - 1)::INTEGER AS index)
FROM every
ORDER BY index
