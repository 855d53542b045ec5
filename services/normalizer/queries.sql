-- name: reserve_patients
-- Make sure that a row to lock exists for every patient.
INSERT INTO patients (patient_key, provider_id)
SELECT * FROM unnest($1::uuid[], $2::text[])
ON CONFLICT (patient_key) DO NOTHING;

-- name: lock_patients
-- Lock in key order, so that two batches never wait for each other in a circle.
SELECT patient_key, provider_id, snapshot, revision, published_revision FROM patients
WHERE patient_key = ANY($1::uuid[]) ORDER BY patient_key FOR UPDATE;

-- name: load_statements
SELECT patient_key, source_key, statement_order, reading, is_withdrawn, sight FROM patient_statements
WHERE patient_key = ANY($1::uuid[]);

-- name: lock_documents
SELECT document_id, patient_key, type, status, source_version, shown_sha256 FROM healthcare_documents
WHERE document_id = ANY($1::uuid[]) ORDER BY document_id FOR UPDATE;

-- name: load_contents
-- Every content of the shown version.
SELECT c.document_id, c.sha256, c.digest, c.mapping, c.origin, c.document, c.statement, c.statement_order
FROM document_contents c JOIN healthcare_documents d USING (document_id, source_version)
WHERE c.document_id = ANY($1::uuid[]) ORDER BY c.document_id, c.sha256;

-- name: save_patients
UPDATE patients p SET snapshot = s.snapshot, revision = s.revision, updated_at = now()
FROM unnest($1::uuid[], $2::bytea[], $3::bigint[]) AS s (patient_key, snapshot, revision)
WHERE p.patient_key = s.patient_key;

-- name: mark_published
-- The broker has acknowledged these snapshots; an older one never takes back a newer one.
UPDATE patients p SET published_revision = s.revision
FROM (SELECT key, max(revision) AS revision FROM unnest($1::uuid[], $2::bigint[]) AS m (key, revision) GROUP BY key ORDER BY key) AS s
WHERE p.patient_key = s.key AND p.published_revision < s.revision;

-- name: save_statements
INSERT INTO patient_statements (patient_key, source_key, statement_order, reading, is_withdrawn, sight)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::boolean[], $6::bytea[])
ON CONFLICT (patient_key, source_key) DO UPDATE
SET statement_order = excluded.statement_order, reading = excluded.reading, is_withdrawn = excluded.is_withdrawn,
    sight = excluded.sight;

-- name: save_identifiers
INSERT INTO patient_identifiers (provider_id, system, value, patient_key)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[])
ON CONFLICT DO NOTHING;

-- name: save_documents
INSERT INTO healthcare_documents (document_id, patient_key, provider_id, type, status, source_version, shown_sha256)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (document_id) DO UPDATE
SET type = excluded.type, status = excluded.status, source_version = excluded.source_version,
    shown_sha256 = excluded.shown_sha256, updated_at = now();

-- name: save_contents
INSERT INTO document_contents (document_id, source_version, sha256, digest, mapping, origin, document, statement, statement_order)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::bytea[], $8::bytea[], $9::text[])
ON CONFLICT (document_id, source_version, sha256) DO UPDATE
SET digest = excluded.digest, mapping = excluded.mapping, origin = excluded.origin, document = excluded.document,
    statement = excluded.statement, statement_order = excluded.statement_order;

-- name: find_patient_keys
SELECT patient_key FROM patient_identifiers WHERE provider_id = $1 AND system = $2 AND value = $3;

-- name: is_enrolled
SELECT EXISTS (SELECT 1 FROM enrolments WHERE clinic_id = $1 AND patient_key = $2);
