-- The data set without the problems on the drop list; exports of this run are decontaminated.
-- reads: source, drop_list
SELECT s.*
FROM source AS s
ANTI JOIN drop_list AS d ON d.row_key = s.problem_key
ORDER BY s.index
