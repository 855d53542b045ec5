-- name: find_gaps
-- Offsets of the given spans without a row of the stage that owes one, as ranges. Walks the index of coordinates.
WITH span AS (
    SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::bigint[]) AS s (topic, partition, stage, low, high)
), edged AS (
    SELECT s.topic, s.partition, l."offset"
    FROM span s JOIN synchronization_log l ON l.topic = s.topic AND l.partition = s.partition AND l.stage = s.stage
    WHERE l."offset" >= s.low AND l."offset" < s.high
    UNION ALL
    SELECT topic, partition, low - 1 FROM span
    UNION ALL
    SELECT topic, partition, high FROM span
), walked AS (
    SELECT topic, partition, lag("offset") OVER (PARTITION BY topic, partition ORDER BY "offset") + 1 AS first, "offset" - 1 AS last FROM edged
)
SELECT topic, partition, first, last FROM walked WHERE first <= last ORDER BY topic, partition, first;

-- name: count_outcomes
-- How many rows each stage has by status, how many of them hang in the air, how much they passed on.
SELECT
    stage, status, is_terminal, count(*) AS rows, count(*) FILTER (WHERE NOT is_terminal AND passed_on = '{}') AS hanging,
    coalesce(sum(cardinality(passed_on)), 0)::bigint AS passed_on
FROM synchronization_log GROUP BY stage, status, is_terminal;

-- name: find_unreached
-- Coordinates that a row passed on and that no row of the next stage accounts for (the writer must have ended it): those in flight as
-- one count for each stage, the others by name. $4 where finished work ends, $5 where Kafka begins, $6 where it ends.
WITH span AS (
    SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
        AS s (topic, partition, stage, done, begins, ends)
), passed AS (
    SELECT
        l.stage AS from_stage, l.document_id, l.correlation_id, l.provider, split_part(p, '/', 1) COLLATE "C" AS topic,
        split_part(p, '/', 2)::int AS partition, split_part(p, '/', 3)::bigint AS "offset"
    FROM synchronization_log l CROSS JOIN unnest(l.passed_on) AS p
    WHERE l.passed_on <> '{}'
), unreached AS MATERIALIZED (
    SELECT
        p.*, s.stage, coalesce(p."offset" >= s.done AND p."offset" < s.ends, false) AS is_in_flight, coalesce(p."offset" < s.begins, false) AS is_expired
    FROM passed p LEFT JOIN span s ON s.topic = p.topic AND s.partition = p.partition
    WHERE NOT EXISTS (
        SELECT FROM synchronization_log d
        WHERE d.topic = p.topic AND d.partition = p.partition AND d."offset" = p."offset"
            AND (d.is_terminal OR d.stage <> 'carepatron_writer')
    )
)
SELECT from_stage, NULL AS stage, NULL AS topic, NULL AS partition, NULL AS "offset", NULL AS document_id, NULL AS correlation_id, NULL AS provider,
    false AS is_expired, count(*) AS items
FROM unreached WHERE is_in_flight GROUP BY from_stage
UNION ALL
(SELECT from_stage, stage, topic, partition, "offset", document_id, correlation_id, provider, is_expired, 1
FROM unreached WHERE NOT is_in_flight ORDER BY topic, partition, "offset" LIMIT $7);

-- name: read_positions
-- How far a group has read a topic, all partitions.
SELECT partition, next_offset FROM consumed_offsets WHERE "group" = $1 AND topic = $2;

-- name: read_stories
-- All rows of some published events.
SELECT
    id, document_id, patient_id, provider, stage, status, reason, "where", action, document_type, is_terminal, passed_on, topic, partition,
    "offset", part, correlation_id
FROM synchronization_log WHERE correlation_id = ANY($1::text[]) ORDER BY "timestamp", received_order;
