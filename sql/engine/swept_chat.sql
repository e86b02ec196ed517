-- The results of an attempt, from the lines of its files as an OpenAI-style host writes them, and a row for each request
-- without one. Plain lines are read here: one answer that stopped by itself, its usage, and nothing else to say. Of every
-- other line `decided` tells, as JSON, or NULL where it makes no row. DuckDB's JSON is a little wider than JSON: it takes
-- a comma too many, and numbers such as NaN.
-- reads: sent, swept_lines
-- $lead: what the custom ids of the attempt begin with
-- $shard: whose requests they are
-- $attempt: its number
-- $ceiling: output tokens at most, where the request names no number of its own
-- $absent: what a request without a line counts as; NULL: as not asked
-- $files: the names of the files, a list
-- $judged: whether answers are held against a schema
-- $structure: its shape as from_json knows it; NULL: it says more
-- $tier: the service tier that was asked for; NULL: whatever it was, the price is the same
-- $most: more tokens are no count
-- $most_given: more tokens of input have another price
-- $each_given: what one of them costs, in millionths of a millionth of a dollar
-- $each_cached: what one that a cache held costs
-- $each_made: what one of output costs
WITH told AS (
    SELECT
        file,
        line,
        place,
        said,
        try(from_json(
            said,
            '{
                "custom_id": "VARCHAR",
                "error": "VARCHAR",
                "engine": "VARCHAR",
                "response": {
                    "status_code": "VARCHAR",
                    "body": {
                        "object": "VARCHAR",
                        "error": "VARCHAR",
                        "model": "VARCHAR",
                        "service_tier": "VARCHAR",
                        "choices": [{
                            "finish_reason": "VARCHAR",
                            "message": {
                                "content": "VARCHAR",
                                "refusal": "VARCHAR",
                                "reasoning": "VARCHAR",
                                "reasoning_content": "VARCHAR"
                            }
                        }],
                        "usage": {
                            "prompt_tokens": "VARCHAR",
                            "completion_tokens": "VARCHAR",
                            "prompt_tokens_details": {
                                "cached_tokens": "VARCHAR",
                                "cache_write_tokens": "VARCHAR",
                                "cache_write_tokens_details": "VARCHAR"
                            },
                            "completion_tokens_details": {"reasoning_tokens": "VARCHAR"}
                        }
                    }
                }
            }'
        )) AS row
    FROM swept_lines
),

read AS (
    SELECT
        file,
        line,
        place,
        said,
        row.custom_id AS custom_id,
        row.response.status_code AS status,
        row.response.body.object AS object,
        row.response.body.model AS model,
        row.response.body.service_tier AS tier,
        len(row.response.body.choices) AS choices,
        row.response.body.choices[1].finish_reason AS finish,
        row.response.body.choices[1].message.content AS content,
        row.response.body.choices[1].message.reasoning AS reasoning,
        row.response.body.choices[1].message.reasoning_content AS thoughts,
        row.response.body.usage.prompt_tokens AS said_given,
        row.response.body.usage.completion_tokens AS said_made,
        coalesce(row.response.body.usage.prompt_tokens_details.cached_tokens, '0') AS said_cached,
        coalesce(row.response.body.usage.completion_tokens_details.reasoning_tokens, '0') AS said_thought,
        try_cast(said_given AS BIGINT) AS given,
        try_cast(said_made AS BIGINT) AS made,
        try_cast(said_cached AS BIGINT) AS cached,
        try_cast(said_thought AS BIGINT) AS thought,
        -- whatever else there is to say: Python says it
        coalesce(
            row.error,
            row.engine,
            row.response.body.error,
            row.response.body.choices[1].message.refusal,
            row.response.body.usage.prompt_tokens_details.cache_write_tokens,
            row.response.body.usage.prompt_tokens_details.cache_write_tokens_details
        ) AS more
    FROM told
),

-- A number, a list or an object became text above. What looks like one is looked at again, in the line.
typed AS (
    SELECT
        *,
        CASE
            WHEN
                regexp_matches(
                    concat_ws('|', left(content, 3), left(reasoning, 3), left(thoughts, 3), left(model, 3), left(tier, 3)),
                    '(^|\|)([-\[0-9]|tru|fal|(?i:nan|inf))|\|\{'
                )
                OR (
                    starts_with(content, '{')
                    -- an object is as good as its text where that is held against a shape below, but an empty one
                    AND ($structure IS NULL OR NOT $judged OR content = '{}')
                    -- the one "content" of the line begins as a text does
                    AND NOT (
                        (contains(said, '"content":"{\"') OR contains(said, '"content": "{\"'))
                        AND len(string_split(said, '"content":')) = 2
                    )
                )
                THEN list_has_all(
                    ['VARCHAR', 'NULL', NULL],
                    json_type(said, [
                        '$.response.body.choices[0].message.content',
                        '$.response.body.choices[0].message.reasoning',
                        '$.response.body.choices[0].message.reasoning_content',
                        '$.response.body.model',
                        '$.response.body.service_tier'
                    ])
                )
            ELSE true
        END AS texts
    FROM read
),

sorted AS (
    SELECT
        *,
        coalesce(
            starts_with(custom_id, $lead)
            AND status = '200'
            AND object = 'chat.completion'
            AND choices = 1
            AND finish = 'stop'
            AND content <> ''
            AND texts
            AND more IS NULL
            AND given BETWEEN 1 AND $most_given
            AND made < $most
            AND cached < $most
            AND thought < $most
            AND given::VARCHAR = said_given
            AND made::VARCHAR = said_made
            AND cached::VARCHAR = said_cached
            AND thought::VARCHAR = said_thought
            AND made >= 0
            AND cached >= 0
            AND thought >= 0
            AND ($tier IS NULL OR coalesce(tier, $tier) = $tier),
            false
        ) AS simple
    FROM typed
),

judged AS (
    SELECT
        *,
        CASE
            WHEN NOT simple THEN false
            WHEN NOT $judged THEN true
            WHEN $structure IS NULL THEN fits(content)
            -- what comes out as it went in fits; of nulls and of odd ways to write a letter that does not tell
            WHEN
                NOT contains(content, ':null')
                AND (NOT contains($structure, '[') OR NOT (contains(content, '[null') OR contains(content, ',null')))
                AND NOT contains(content, '\u')
                -- never NULL here, but DuckDB looks at it before any line
                AND try(to_json(from_json(content, coalesce($structure, '"VARCHAR"')))::VARCHAR) = content
                THEN true
            ELSE fits(content)
        END AS plain
    FROM sorted
),

decided AS (
    SELECT
        *,
        CASE
            WHEN NOT plain
                THEN from_json(
                    decided(file, line, place, strlen(said)),
                    '{
                        "request_id": "VARCHAR",
                        "outcome": "VARCHAR",
                        "transient": "BOOLEAN",
                        "text": "VARCHAR",
                        "reasoning": "VARCHAR",
                        "answer": "VARCHAR",
                        "finish": "VARCHAR",
                        "model": "VARCHAR",
                        "code": "VARCHAR",
                        "message": "VARCHAR",
                        "input_tokens": "BIGINT",
                        "cached_tokens": "BIGINT",
                        "cache_write_tokens": "BIGINT",
                        "cache_write_long_tokens": "BIGINT",
                        "output_tokens": "BIGINT",
                        "reasoning_tokens": "BIGINT",
                        "usd": "VARCHAR"
                    }'
                )
        END AS other
    FROM judged
),

rows AS (
    SELECT
        *,
        CASE WHEN plain THEN substr(custom_id, strlen($lead) + 1) ELSE other.request_id END AS request_id,
        -- in millionths of a millionth of a dollar: no rate has more digits. Other lines may say anything of their tokens
        CASE
            WHEN plain
                THEN
                    greatest(given - cached, 0)::HUGEINT * $each_given
                    + cached::HUGEINT * $each_cached
                    + made::HUGEINT * $each_made
        END AS cost
    FROM decided
),

expected AS (
    SELECT
        request_id,
        coalesce(ceiling, $ceiling)::INTEGER AS ceiling
    FROM (SELECT * FROM sent UNION ALL BY NAME SELECT NULL::INTEGER AS ceiling WHERE false)  -- `sent` may lack it
)

SELECT
    $shard AS shard,
    $attempt::INTEGER AS attempt,
    e.request_id,
    CASE WHEN r.plain THEN 'ok' WHEN r.line IS NULL THEN $absent ELSE r.other.outcome END AS outcome,
    coalesce(r.other.transient, false) AS transient,
    e.ceiling,
    CASE WHEN NOT r.plain THEN r.other.text WHEN NOT $judged THEN r.content END AS text,
    CASE WHEN r.plain THEN coalesce(nullif(r.reasoning, ''), r.thoughts) ELSE r.other.reasoning END AS reasoning,
    CASE WHEN NOT r.plain THEN r.other.answer WHEN $judged THEN r.content END AS answer,
    NULL::FLOAT[] AS embedding,
    CASE WHEN r.plain THEN r.finish ELSE r.other.finish END AS finish,
    CASE WHEN r.plain THEN r.model ELSE r.other.model END AS model,
    r.other.code AS code,
    r.other.message AS message,
    CASE WHEN r.plain THEN r.given ELSE coalesce(r.other.input_tokens, 0) END AS input_tokens,
    CASE WHEN r.plain THEN r.cached ELSE coalesce(r.other.cached_tokens, 0) END AS cached_tokens,
    coalesce(r.other.cache_write_tokens, 0) AS cache_write_tokens,
    coalesce(r.other.cache_write_long_tokens, 0) AS cache_write_long_tokens,
    CASE WHEN r.plain THEN r.made ELSE coalesce(r.other.output_tokens, 0) END AS output_tokens,
    CASE WHEN r.plain THEN r.thought ELSE coalesce(r.other.reasoning_tokens, 0) END AS reasoning_tokens,
    CASE
        WHEN r.plain THEN (r.cost::DECIMAL(24, 0) * 0.000000000001::DECIMAL(12, 12))::DECIMAL(24, 12)
        ELSE coalesce(r.other.usd, '0')::DECIMAL(24, 12)
    END AS usd,
    $files[r.file] AS raw,
    r.line
FROM rows AS r
RIGHT JOIN expected AS e ON r.request_id = e.request_id
WHERE r.line IS NOT NULL OR $absent IS NOT NULL
