-- Conversations with all turns in one list (messages); the thinking stands beside the reply, in reasoning_content.
-- reads: conversations
SELECT
    [
        {'role': 'user', 'content': prompt, 'reasoning_content': NULL::VARCHAR},
        {'role': 'assistant', 'content': reply, 'reasoning_content': thinking}
    ] AS messages,
    row_key,
    problem_key,
    subject,
    topic
FROM conversations
