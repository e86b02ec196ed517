-- What a wave asks that no earlier one did.
-- reads: drawn, asked
SELECT (row_number() OVER (ORDER BY d.position) - 1)::BIGINT AS position, d.* EXCLUDE (position)
FROM drawn AS d
WHERE d.row_key NOT IN (SELECT row_key FROM asked)
ORDER BY d.position
