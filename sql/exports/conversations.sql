-- What each trace to train on says: the prompt, the thinking and the answer apart. A host that returns the thinking
-- inside the text leaves think tags there, sometimes only the closing one; the last one ends the thinking.
-- reads: dataset
-- $split: train or held_out; of the held-out topics only correct traces with a verified reference, too
-- $instruction: what stands behind the question, with its blank line
WITH chosen AS (
    SELECT *
    FROM dataset
    WHERE if($split = 'train', use = 'sft', split = $split AND correctness AND reference = 'verified')
      AND trim(coalesce(solution, '')) <> ''
),
parted AS (
    SELECT *, regexp_extract(solution, '^\s*(?:<think>)?(.*)</think>(.*)$', ['thinking', 'said'], 's') AS part
    FROM chosen
)
SELECT
    row_key,
    problem_key,
    subject,
    topic,
    concat(question, $instruction) AS prompt,
    nullif(trim(part.thinking, chr(10) || ' '), '') AS thinking,
    if(part.said = '' AND part.thinking = '', trim(solution, chr(10) || ' '), trim(part.said, chr(10) || ' ')) AS reply
FROM parted
