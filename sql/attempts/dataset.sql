-- The pipeline's data set again, row for row and column for column, with `use` settled by what the trained model can:
-- 'rl' stays on a problem if $rl says so, and becomes NULL if not. The paper trains RL on the SFT set's problems too:
-- those are a matter of the export (--with-sft), not of a second row here.
-- reads: labelled, tried
-- $rl: solved (only what the model solves within its tries) or all (every verified problem without a correct trace)
SELECT d.* REPLACE (if(d.use = 'rl' AND $rl <> 'all' AND NOT coalesce(t.within, false), NULL, d.use) AS use)
FROM labelled AS d
LEFT JOIN tried AS t ON t.row_key = d.problem_key
ORDER BY index
