-- Conversations as prompt and completion, so that only the reply is trained on; the thinking stands
-- beside the reply, in reasoning_content.
-- reads: conversations
SELECT
    [{'role': 'user', 'content': prompt, 'reasoning_content': NULL::VARCHAR}] AS prompt,
    [{'role': 'assistant', 'content': reply, 'reasoning_content': thinking}] AS completion,
    row_key,
    problem_key,
    subject,
    topic
FROM conversations
