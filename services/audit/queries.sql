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

-- name: claim_ids
-- The outcomes that are not in the log yet, of those offered.
INSERT INTO outcome_ids (id, recorded_at) SELECT DISTINCT unnest($1::uuid[]), $2::timestamptz ON CONFLICT DO NOTHING RETURNING id;

-- name: read_head
-- Where a chain stands; the position that was moved before it keeps others out.
SELECT seq, hash, recorded_at FROM chain_heads WHERE chain = $1;

-- name: move_head
-- Where a chain stands now.
INSERT INTO chain_heads (chain, seq, hash, recorded_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, recorded_at = excluded.recorded_at;

-- name: make_month
-- The piece of the log for a month.
SELECT make_log_month($1::date);

-- name: read_keys
-- The keys of these patients, made where there are none. A forgotten patient who comes again gets a new one.
WITH wanted AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS w (patient_id, key_id, key)),
made AS (
    INSERT INTO audit_keys (patient_id, key_id, key) SELECT patient_id, key_id, key FROM wanted
    ON CONFLICT (patient_id) DO NOTHING RETURNING patient_id, key_id, key
)
SELECT patient_id, key_id, key FROM made
UNION ALL
SELECT k.patient_id, k.key_id, k.key FROM audit_keys k JOIN wanted w ON k.patient_id = w.patient_id;

-- name: read_house_key
-- The key of rows that name no patient.
INSERT INTO audit_keys (key_id, key) VALUES ($1, $2) ON CONFLICT (key_id) DO UPDATE SET key = audit_keys.key RETURNING key;

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

-- name: read_chained
-- A chain's rows in their order, from a place on.
SELECT * FROM synchronization_log WHERE chain = $1 AND chain_seq > $2 ORDER BY chain_seq;

-- name: read_heads
-- Where every chain stands.
SELECT chain, seq, hash FROM chain_heads ORDER BY chain;

-- name: read_all_keys
-- All keys; those destroyed without their key.
SELECT key_id, key FROM audit_keys;

-- name: count_unchained
-- Rows from before there was a chain.
SELECT count(*) FROM synchronization_log WHERE chain IS NULL;

-- name: read_summaries
-- What is left of months that retention dropped, in order.
SELECT month, chain, first_seq, last_seq, last_hash, rows_dropped, dropped_at, signature, public_key FROM chain_summaries ORDER BY chain, first_seq;

-- name: list_months
-- The months that have a piece of the log, the oldest first.
SELECT to_date(substring(c.relname FROM '\d{6}$'), 'YYYYMM') AS month, c.relname AS name
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'synchronization_log'::regclass ORDER BY 1;

-- name: summarize_month
-- What a month's piece holds of each chain.
SELECT chain, min(chain_seq) AS first_seq, max(chain_seq) AS last_seq, count(*) AS rows,
    (array_agg(row_hash ORDER BY chain_seq DESC))[1] AS last_hash
FROM synchronization_log WHERE recorded_at >= $1 AND recorded_at < $2 AND chain IS NOT NULL GROUP BY chain ORDER BY chain;

-- name: keep_summary
-- A signed summary of what is dropped.
INSERT INTO chain_summaries (month, chain, first_seq, last_seq, last_hash, rows_dropped, dropped_at, signature, public_key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: drop_ids
-- The ids of outcomes of a month that is dropped.
DELETE FROM outcome_ids WHERE recorded_at >= $1 AND recorded_at < $2;

-- name: erase_patient
-- Forget a patient.
SELECT erase_patient($1::uuid);
