-- Topics of one subject that are, or may be, one: each later one beside an earlier one, with how alike they are.
-- reason: near duplicate (words), fuzzy (number and spelling), embedding (meaning); NULL where only a model can tell.
-- reads: topic_names
-- $near_topic: words that overlap this much (Jaccard) are one topic (0.9)
-- $grey_topic: from this overlap on a model is asked (0.6)
-- $grey_fuzzy: and from this likeness of letters on; one that has all words of the other is at 0.95 (0.85)
-- $topic_embeddings: compare meanings too? Needs the extra embed
-- $near_cosine: vectors this near are one topic (0.995)
-- $grey_cosine: and from here on a model is asked (0.85)
WITH firsts AS MATERIALIZED (
    SELECT
        subject, topic, topic_id, place,
        topic_blocks(topic) AS found_by,
        CASE WHEN $topic_embeddings THEN sentence_embedding(topic) END AS meaning
    FROM topic_names
    WHERE first_named
),
blocks AS (
    SELECT subject, place, len(found_by.words) AS size, true AS is_word, unnest(found_by.words) AS block FROM firsts
    UNION ALL
    SELECT subject, place, len(found_by.words), false, unnest(found_by.initials) FROM firsts
),
alike AS (  -- only those are worth comparing that share half of their words, or all words of one
    SELECT a.place AS earlier, b.place AS later
    FROM blocks AS a
    JOIN blocks AS b ON b.subject = a.subject AND b.block = a.block AND a.place < b.place AND (a.is_word OR b.is_word)
    GROUP BY a.place, b.place
    HAVING count(*) >= min(least(a.size, b.size, greatest(a.size, b.size) / 2))
    UNION
    SELECT a.place, b.place
    FROM firsts AS a
    JOIN firsts AS b ON b.subject = a.subject AND a.place < b.place
    WHERE list_inner_product(a.meaning, b.meaning) >= $grey_cosine
),
measured AS (
    SELECT
        a.subject,
        a.topic_id AS earlier,
        b.topic_id AS later,
        a.topic AS earlier_topic,
        b.topic AS later_topic,
        a.place AS earlier_place,
        round(token_jaccard(a.topic, b.topic), 4) AS overlap,
        round(topic_fuzz(a.topic, b.topic), 4) AS likeness,
        round(list_inner_product(a.meaning, b.meaning), 3)::DOUBLE AS cosine
    FROM alike AS p
    JOIN firsts AS a ON a.place = p.earlier
    JOIN firsts AS b ON b.place = p.later
),
told AS (
    SELECT
        *,
        CASE
            WHEN overlap >= $near_topic THEN 'near duplicate'
            WHEN likeness = 1 THEN 'fuzzy'
            WHEN cosine >= $near_cosine THEN 'embedding'
        END AS reason
    FROM measured
    WHERE overlap >= $grey_topic OR likeness >= $grey_fuzzy OR cosine >= $grey_cosine
)
SELECT
    earlier || ' ~ ' || later AS row_key,
    subject,
    earlier,
    later,
    earlier_topic,
    later_topic,
    earlier_place,
    overlap,
    likeness,
    cosine,
    reason
FROM told
ORDER BY row_key
