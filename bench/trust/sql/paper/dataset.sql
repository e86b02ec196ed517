-- One row per problem that both verifiers kept and its trace, labelled by the judge.
-- reads: verified, solutions, judgements
SELECT v.row_key, v.row_key AS problem_key, s.row_key AS trace_key, j.same AS correctness
FROM verified AS v
LEFT JOIN solutions AS s ON s.problem_key = v.row_key
LEFT JOIN judgements AS j ON j.row_key = s.row_key
ORDER BY v.row_key
