-- One verifier's verdict on each problem. With several samples all votes have to say keep.
-- A vote counts as keep only if it is in accord with itself: the verdict, the four answers, and, where the answer is a
-- number, the verifier's own result, which must not be another number than the proposed one.
-- objection: what a verifier that does not keep it holds against it. 'answer': nothing but the proposed answer, which
-- somebody can settle who solves the problem blind. 'problem': the problem itself, which no solution heals. NULL: kept.
-- reads: answers
WITH votes AS (
    SELECT
        row_key,
        sample,
        model,
        answer ->> 'own_answer' AS own_answer,
        answer ->> 'reason' AS said,
        (answer -> 'on_topic')::BOOLEAN AS on_topic,
        (answer -> 'self_contained')::BOOLEAN AS self_contained,
        (answer -> 'single_answer')::BOOLEAN AS single_answer,
        (answer -> 'answer_correct')::BOOLEAN AS answer_correct,
        answer ->> 'verdict' = 'keep' AS says_keep,
        answers_match(proposed_answer, answer ->> 'own_answer') AS own_match,
        answer_kind = 'number' AS is_number
    FROM answers
    WHERE outcome = 'ok'
),
weighed AS (
    SELECT
        *,
        is_number AND own_match = 'no' AS contradicts,
        says_keep AND on_topic AND self_contained AND single_answer AND answer_correct
        AND NOT (is_number AND own_match = 'no') AS keeps,
        on_topic AND self_contained AND single_answer
        AND (NOT answer_correct OR (is_number AND own_match = 'no')) AS only_the_answer
    FROM votes
)
SELECT
    row_key,
    bool_and(keeps) AS kept,
    count(*) AS votes,
    count(*) FILTER (keeps) AS keeps,
    CASE
        WHEN bool_and(keeps) THEN NULL
        WHEN bool_and(keeps OR only_the_answer) THEN 'answer'
        ELSE 'problem'
    END AS objection,
    bool_and(on_topic) AS on_topic,
    bool_and(self_contained) AS self_contained,
    bool_and(single_answer) AS single_answer,
    bool_and(answer_correct) AS answer_correct,
    arg_min(own_answer, sample) AS own_answer,
    arg_min(own_match, sample) AS own_match,
    coalesce(
        string_agg(if(contradicts, 'own result differs: ' || own_answer || '; ', '') || said, ' | ' ORDER BY sample)
        FILTER (NOT keeps),
        arg_min(said, sample)
    ) AS reason,
    arg_min(model, sample) AS verifier_model
FROM weighed
GROUP BY row_key
ORDER BY row_key
