-- Conversations with all turns in one list (messages); the thinking stands in the reply, between think tags.
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
    [
        {'role': 'user', 'content': prompt},
        {'role': 'assistant', 'content': content}
    ] AS messages,
    row_key,
    problem_key,
    subject,
    topic
FROM said
