-- The verified base set with what it weighs in tokens of the model that is trained.
-- reads: base_files
-- $tokenizer: whose vocabulary counts, by a model's name
SELECT row_key, 'base' AS part, text, count_tokens(text, $tokenizer) AS tokens
FROM base_files
WHERE trim(text) <> ''
ORDER BY row_key
