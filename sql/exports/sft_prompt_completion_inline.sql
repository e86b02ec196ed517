-- Conversations as prompt and completion, so that only the reply is trained on; the thinking stands
-- in the reply, between think tags.
-- reads: conversations
WITH said AS (
    SELECT
        *,
        if(
            thinking IS NULL,
            reply,
            concat_ws(chr(10), '<think>', thinking, '</think>', '', reply)
        ) AS content
    FROM conversations
)
SELECT
    [{'role': 'user', 'content': prompt}] AS prompt,
    [{'role': 'assistant', 'content': content}] AS completion,
    row_key,
    problem_key,
    subject,
    topic
FROM said
