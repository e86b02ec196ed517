-- The candidates with what they weigh in tokens of the model that is trained. text: the whole of what is trained on.
-- reads: candidate_files
-- $tokenizer: whose vocabulary counts, by a model's name
SELECT row_key, 'candidate' AS part, text, count_tokens(text, $tokenizer) AS tokens
FROM candidate_files
WHERE trim(text) <> ''
ORDER BY row_key
