-- Problems to learn on by trying: the prompt, the answer to check against, and what is known of the problem. One row
-- per problem. The five columns are verl's; TRL reads the prompt and hands the others to the reward function.
-- reads: dataset
-- $split: train or held_out; of the held-out topics every problem with a verified reference
-- $with_sft: whether problems with a correct trace are taken too, as the paper does
-- $instruction: what stands behind the question, with its blank line
-- $source: data_source, by which trainers group what they measure
WITH chosen AS (
    SELECT min_by(row_key, index) AS row_key, bool_or(coalesce(correctness, false)) AS solved
    FROM dataset
    WHERE if(
        $split = 'train',
        use = 'rl' OR ($with_sft AND use = 'sft'),
        split = $split AND reference = 'verified'
    )
    GROUP BY problem_key
)
SELECT
    $source AS data_source,
    [{'role': 'user', 'content': concat(d.question, $instruction)}] AS prompt,
    lower(d.subject) AS ability,
    {'style': 'rule', 'ground_truth': d.answer} AS reward_model,
    {
        'split': $split,
        'index': d.index::BIGINT,
        'row_key': d.row_key,
        'problem_key': d.problem_key,
        'subject': d.subject,
        'topic': d.topic,
        'answer_kind': d.answer_kind,
        'has_correct_trace': c.solved,
        'question': d.question
    } AS extra_info
FROM dataset AS d
JOIN chosen AS c ON c.row_key = d.row_key
