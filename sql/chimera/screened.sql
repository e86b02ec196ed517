-- Every draft, and every problem that was made of one, with what the free checks say of it, before anyone is paid to
-- verify it. reason 'ok' means: go on. Of two that are the same problem the one of the earlier wave stays, so that what
-- was verified once stays in; a draft stays before what was made of another one.
-- Near duplicates are looked for everywhere, whatever their subject: those whose wording agrees in one of 40 bands of
-- its fingerprint (at an overlap of 0.5 all but one in 200 do) are compared word by word. They are one problem if their
-- answers agree and so do their data: numbers in their order, names, quotations. The same wording with other numbers is
-- another problem, and so is the same question with another answer, which verifiers have to decide.
-- reads: problems, conversions
-- $near_problem: problems with equal data and answer are one if their 3-word sequences overlap at least this much
-- (Jaccard, 0.5; the name of the topic does not count)
WITH RECURSIVE drafts AS (
    SELECT *, NULL AS converted_from FROM problems
    UNION ALL BY NAME
    SELECT * EXCLUDE (flaw, part, why_not) FROM conversions WHERE part > 0
),
keyed AS MATERIALIZED (
    SELECT
        row_key,
        (wave, converted_from IS NOT NULL, row_key) AS turn,
        question,
        topic,
        reference_answer,
        screen_problem(question, reference_answer) AS screen,
        -- without the name of its topic, which says nothing of the problem
        trim(
            replace(' ' || text_key(question) || ' ', ' ' || coalesce(text_key(topic), '') || ' ', ' ')
        ) AS words,
        text_key(reference_answer) AS answer_key
    FROM drafts
),
firsts AS MATERIALIZED (
    SELECT
        *,
        minhash(words, 3, 120) AS fingerprint,
        particulars(coalesce(replace(question, topic, ' '), question)) AS data
    FROM keyed
    WHERE screen = 'ok'
    QUALIFY row_number() OVER (PARTITION BY words, answer_key ORDER BY turn) = 1
),
bands AS (
    SELECT
        row_key,
        turn,
        answer_key,
        array_to_string(data.names, ' ') AS names,
        ' ' || array_to_string(data.numbers, ' ') || ' ' AS numbers,
        len(data.numbers) AS size,
        hash(band, fingerprint[3 * band - 2:3 * band]) AS bucket
    FROM (SELECT *, unnest(range(1, len(fingerprint) // 3 + 1)) AS band FROM firsts)
),
placed AS MATERIALIZED (
    -- compared is with the first few of a bucket: many drafts of one wording would make pairs without end
    SELECT
        *,
        row_number() OVER (PARTITION BY bucket, names, numbers ORDER BY turn) <= 8 AS early,
        row_number() OVER (PARTITION BY bucket, names, answer_key ORDER BY turn) <= 8 AS early_of_answer
    FROM bands
),
together AS (
    SELECT a.row_key AS earlier, b.row_key AS later, a.turn, a.answer_key = b.answer_key AS same_answer, a.bucket
    FROM placed AS a
    JOIN placed AS b ON a.bucket = b.bucket AND a.names = b.names AND a.numbers = b.numbers AND a.turn < b.turn
    WHERE a.early
    UNION
    SELECT a.row_key, b.row_key, a.turn, true, a.bucket
    FROM placed AS a
    JOIN placed AS b ON a.bucket = b.bucket AND a.names = b.names AND a.answer_key = b.answer_key AND a.turn < b.turn
    WHERE
        a.early_of_answer
        -- one of them states a number or two more, before or after: how many digits are wanted, say, or a constant
        AND abs(a.size - b.size) <= 2
        AND (
            starts_with(a.numbers, b.numbers) OR ends_with(a.numbers, b.numbers)
            OR starts_with(b.numbers, a.numbers) OR ends_with(b.numbers, a.numbers)
        )
),
alike AS MATERIALIZED (
    -- the more buckets two share, the more of their wording: the likeliest few are looked at
    SELECT earlier, later
    FROM together
    GROUP BY earlier, later, turn, same_answer
    QUALIFY row_number() OVER (PARTITION BY later ORDER BY same_answer DESC, count(*) DESC, turn) <= 8
),
measured AS MATERIALIZED (
    SELECT p.*, a.words = b.words AS same_words, ngram_jaccard(a.words, b.words, 3) AS overlap
    FROM alike AS p
    JOIN firsts AS a ON a.row_key = p.earlier
    JOIN firsts AS b ON b.row_key = p.later
),
close AS MATERIALIZED (
    SELECT m.*, a.turn, answers_match(a.reference_answer, b.reference_answer) AS answers
    FROM measured AS m
    JOIN firsts AS a ON a.row_key = m.earlier
    JOIN firsts AS b ON b.row_key = m.later
    -- three equal numbers in one order and an equal answer are no chance: less of the wording has to agree
    WHERE m.same_words OR m.overlap >= if(a.data = b.data AND len(a.data.numbers) >= 3, 0.6, 1) * $near_problem
),
merges AS MATERIALIZED (
    SELECT earlier, later, overlap, same_words
    FROM close
    WHERE answers = 'yes' OR (same_words AND answers <> 'no')
    QUALIFY row_number() OVER (PARTITION BY later ORDER BY turn) = 1
),
roots AS (
    SELECT row_key, row_key AS root
    FROM firsts
    WHERE row_key NOT IN (SELECT later FROM merges)
    UNION ALL
    SELECT m.later, r.root
    FROM merges AS m
    JOIN roots AS r ON r.row_key = m.earlier
),
judged AS (
    SELECT
        k.row_key,
        k.screen,
        r.root,
        f.row_key AS first_key,
        if(f.row_key = k.row_key, m.overlap, 1) AS overlap,
        f.row_key <> k.row_key OR m.same_words AS same_words
    FROM keyed AS k
    LEFT JOIN firsts AS f ON k.screen = 'ok' AND f.words = k.words AND f.answer_key = k.answer_key
    LEFT JOIN merges AS m ON m.later = f.row_key
    LEFT JOIN roots AS r ON r.row_key = f.row_key
)
SELECT
    d.*,
    CASE
        WHEN j.screen <> 'ok' THEN j.screen
        WHEN j.root = d.row_key THEN 'ok'
        WHEN j.same_words THEN 'same problem'
        ELSE 'near duplicate'
    END AS reason,
    if(j.root <> d.row_key, j.root, NULL) AS duplicate_of,
    if(j.root <> d.row_key, j.overlap, NULL) AS overlap
FROM drafts AS d
JOIN judged AS j ON j.row_key = d.row_key
ORDER BY d.row_key
