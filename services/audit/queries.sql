-- name: read_position
-- How far a group has read a partition; no row: nothing yet.
SELECT next_offset FROM consumed_offsets WHERE "group" = $1 AND topic = $2 AND partition = $3;

-- name: begin_position
-- The first step of a partition; takes nothing when somebody else has made it.
INSERT INTO consumed_offsets ("group", topic, partition, next_offset) VALUES ($1, $2, $3, $4)
ON CONFLICT ("group", topic, partition) DO NOTHING RETURNING next_offset;

-- name: advance_position
-- Compare and set: $5 is where we believe the group stands. Locks the row, so that a zombie waits here and then finds it moved.
UPDATE consumed_offsets SET next_offset = $4, changed_at = now()
WHERE "group" = $1 AND topic = $2 AND partition = $3 AND next_offset = $5 RETURNING next_offset;

-- name: append_outcomes
-- One row for each outcome that is not yet known; lists travel as lines.
INSERT INTO synchronization_log (
    id, patient_id, document_id, action, "timestamp", status, details, stage, reason, "where", platform, external_id, provider, attempt,
    duration_ms, correlation_id, replay_id, mapping_version, topic, partition, "offset", part, passed_on, origin, clinic_id, destination_id,
    document_type, source_version, format, sha256, size, rule, warnings, is_terminal
)
SELECT
    id, patient_id, document_id, action, moment, status, details::jsonb, stage, reason, place, platform, external_id, provider, attempt,
    duration_ms, correlation_id, replay_id, mapping_version, topic, partition, "offset", part, string_to_array(passed_on, E'\n'), origin,
    clinic_id, destination_id, document_type, source_version, format, sha256, size, rule, string_to_array(warnings, E'\n'), is_terminal
FROM unnest(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::text[], $12::text[], $13::text[], $14::int[], $15::bigint[], $16::text[], $17::text[], $18::text[], $19::text[], $20::int[],
    $21::bigint[], $22::int[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::text[], $29::text[], $30::text[],
    $31::bigint[], $32::text[], $33::text[], $34::boolean[]
) AS item (
    id, patient_id, document_id, action, moment, status, details, stage, reason, place, platform, external_id, provider, attempt,
    duration_ms, correlation_id, replay_id, mapping_version, topic, partition, "offset", part, passed_on, origin, clinic_id, destination_id,
    document_type, source_version, format, sha256, size, rule, warnings, is_terminal
)
ON CONFLICT (id) DO NOTHING;

-- name: append_quarantined
-- One row for each record set aside that is not yet on the desk.
INSERT INTO quarantined_documents (
    id, stage, topic, partition, "offset", reason, "where", defect, provider, document_id, patient_id, sha256, size, contentref, quarantined_at
)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::int[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::uuid[], $11::uuid[],
    $12::text[], $13::bigint[], $14::text[], $15::timestamptz[]
)
ON CONFLICT (id) DO NOTHING;
