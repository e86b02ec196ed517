-- One row per article: its sections, and all of it as the Markdown that is trained on.
-- reads: answers
WITH told AS (
    SELECT
        row_key,
        source,
        trim(answer ->> 'title') AS title,
        trim(answer ->> 'background') AS background,
        list_transform(
            (answer -> 'definitions')::JSON[], lambda one: concat('- **', one ->> 'term', '**: ', one ->> 'meaning')
        ) AS definitions,
        (answer -> 'formulas')::VARCHAR[] AS formulas,
        (answer -> 'examples')::VARCHAR[] AS examples,
        model AS writer_model
    FROM answers
    WHERE outcome = 'ok'
)
SELECT
    row_key,
    source,
    title,
    background,
    definitions,
    formulas,
    examples,
    concat_ws(
        chr(10) || chr(10),
        '# ' || title,
        '## Background', background,
        '## Definitions', array_to_string(definitions, chr(10)),
        '## Formulas', array_to_string(list_transform(formulas, lambda one: '- ' || one), chr(10)),
        '## Examples', array_to_string(examples, chr(10) || chr(10))
    ) AS article,
    writer_model
FROM told
ORDER BY row_key
