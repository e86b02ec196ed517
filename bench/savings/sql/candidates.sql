-- Every draft goes to the verifiers, duplicates included, except what cannot be asked.
-- reads: screened
SELECT * EXCLUDE (reason, duplicate_of)
FROM screened
WHERE trim(question) <> '' AND trim(reference_answer) <> ''
ORDER BY row_key
