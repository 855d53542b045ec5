-- name: read_links
-- The link of each offer, what the platform calls its patient, and what a person has decided about the patient.
SELECT o.number, l.state, l.source_version, l.digest, l.external_id, l.status, l.reason, l.refused_at, l.place, l.revision, l.repairs,
       p.external_id AS patient_external_id, p.state AS patient_state, p.reason AS patient_reason, p.refused_at AS patient_refused_at,
       r.state AS decision, r.external_id AS chosen, k.patient_key IS NOT NULL AS is_parked
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[]) WITH ORDINALITY AS o (destination_id, kind, our_id, patient_key, number)
LEFT JOIN platform_links l ON l.destination_id = o.destination_id AND l.kind = o.kind AND l.our_id = o.our_id
LEFT JOIN platform_links p ON p.destination_id = o.destination_id AND p.kind = 'patient' AND p.our_id = o.patient_key
LEFT JOIN platform_reviews r ON r.destination_id = o.destination_id AND r.patient_key = o.patient_key
LEFT JOIN platform_parked k ON k.destination_id = o.destination_id AND k.patient_key = o.patient_key
ORDER BY o.number;

-- name: claim_links
-- Compare and set: a link that has changed since it was read is not returned. The revision offered is the expected one plus one.
INSERT INTO platform_links AS l (destination_id, kind, our_id, patient_key, source_version, digest, state, place, revision)
SELECT destination_id, kind, our_id, patient_key, source_version, digest, 'sending', place, revision
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::bigint[])
  AS o (destination_id, kind, our_id, patient_key, source_version, digest, place, revision)
ON CONFLICT (destination_id, kind, our_id) DO UPDATE
SET patient_key = excluded.patient_key, source_version = excluded.source_version, digest = excluded.digest, state = 'sending',
    status = NULL, reason = NULL, refused_at = NULL, place = excluded.place, revision = excluded.revision, updated_at = now()
WHERE l.revision = excluded.revision - 1
RETURNING destination_id, kind, our_id;

-- name: settle_links
-- Compare and set, like claim_links: a writer that was overtaken changes nothing.
UPDATE platform_links l
SET external_id = coalesce(o.external_id, l.external_id), source_version = o.source_version, digest = o.digest, state = o.state,
    status = o.status, reason = o.reason, refused_at = o.refused_at, place = o.place, revision = o.revision,
    content_sha256 = coalesce(o.content_sha256, l.content_sha256), updated_at = now()
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
  $11::text[], $12::bigint[], $13::text[])
  AS o (destination_id, kind, our_id, external_id, source_version, digest, state, status, reason, refused_at, place, revision, content_sha256)
WHERE l.destination_id = o.destination_id AND l.kind = o.kind AND l.our_id = o.our_id AND l.revision = o.revision - 1;

-- name: link_patient
-- The platform's id of a patient, found by our reference; what was written about the patient is to be compared again.
INSERT INTO platform_links AS l (destination_id, kind, our_id, patient_key, external_id, source_version, digest, state, place, revision)
VALUES ($1, 'patient', $2, $2, $3, '', '', 'waiting', '', 1)
ON CONFLICT (destination_id, kind, our_id) DO UPDATE
SET external_id = excluded.external_id, state = 'waiting', revision = l.revision + 1, updated_at = now()
WHERE l.external_id IS DISTINCT FROM excluded.external_id;

-- name: forget_patient
-- The platform no longer knows this client: the next snapshot looks for it again.
UPDATE platform_links SET external_id = NULL, state = 'waiting', revision = revision + 1, updated_at = now()
WHERE destination_id = $1 AND kind = 'patient' AND our_id = $2 AND external_id = $3;

-- name: ask_person
-- A question for a person. One that was answered is asked again: the answer did not settle it.
INSERT INTO platform_reviews AS r (destination_id, patient_key, clinic_id, candidates, state)
VALUES ($1, $2, $3, $4, 'open')
ON CONFLICT (destination_id, patient_key) DO UPDATE
SET candidates = excluded.candidates, state = 'open', external_id = NULL,
    asked_at = CASE WHEN r.state = 'open' THEN r.asked_at ELSE now() END
WHERE r.state <> 'moving' AND (r.state <> 'open' OR r.candidates <> excluded.candidates);

-- name: list_reviews
-- Questions and answers, the oldest open question first.
SELECT r.destination_id, r.patient_key, r.clinic_id, r.candidates, r.state, r.external_id, r.asked_at,
       (SELECT count(*) FROM platform_links l WHERE l.destination_id = r.destination_id AND l.patient_key = r.patient_key
        AND l.kind = 'document' AND l.state = 'refused') AS documents_waiting
FROM platform_reviews r
WHERE ($1::text IS NULL OR r.state = $1) AND ($2::uuid IS NULL OR r.patient_key = $2) AND ($3::text IS NULL OR r.destination_id = $3)
ORDER BY (r.state IN ('open', 'moving')) DESC, r.asked_at
LIMIT $4;

-- name: list_decisions
-- Every decision about a patient, the first one first.
SELECT decision, external_id, decided_by, decided_at FROM platform_decisions
WHERE destination_id = $1 AND patient_key = $2 ORDER BY id;

-- name: begin_decision
-- Compare and set: while it moves, the writer leaves the patient alone.
UPDATE platform_reviews SET state = 'moving' WHERE destination_id = $1 AND patient_key = $2 AND state = $3 RETURNING true;

-- name: end_decision
-- The answer.
UPDATE platform_reviews SET state = $3, external_id = $4 WHERE destination_id = $1 AND patient_key = $2 AND state = 'moving';

-- name: keep_decision
-- The history of answers; nothing is removed from it.
INSERT INTO platform_decisions (destination_id, patient_key, decision, external_id, decided_by) VALUES ($1, $2, $3, $4, $5);

-- name: read_patient_links
-- Everything that was written for a patient.
SELECT kind, our_id, external_id, source_version, digest, state, place, revision, repairs, content_sha256, updated_at
FROM platform_links WHERE destination_id = $1 AND patient_key = $2 ORDER BY kind, our_id;

-- name: loosen_links
-- What was written for a patient counts as never written; an offer on its way loses its compare-and-set.
UPDATE platform_links
SET state = 'waiting', external_id = CASE WHEN kind = 'patient' THEN $3 END, digest = '', status = NULL, reason = NULL, refused_at = NULL,
    place = '', source_version = CASE WHEN kind = 'patient' THEN '' ELSE source_version END, revision = revision + 1, updated_at = now()
WHERE destination_id = $1 AND patient_key = $2;

-- name: read_written_patients
-- Patients with something on a platform, for reading it back.
SELECT DISTINCT l.destination_id, l.patient_key
FROM platform_links l
WHERE l.state IN ('applied', 'withdrawn')
AND ($1::text IS NULL OR l.destination_id = $1) AND ($2::uuid IS NULL OR l.patient_key = $2)
AND ($3::text IS NULL OR l.our_id IN (SELECT s.document_id FROM sync_log_v1 s WHERE s.provider = $3 AND s.document_id IS NOT NULL))
AND ($4::timestamptz IS NULL OR l.updated_at >= $4) AND ($5::timestamptz IS NULL OR l.updated_at < $5)
ORDER BY l.destination_id, l.patient_key;

-- name: loosen_document
-- A document counts as not written: the next offer of the same version is sent.
UPDATE platform_links
SET state = 'waiting', digest = '', status = NULL, reason = NULL, refused_at = NULL, place = '', revision = revision + 1,
    repairs = repairs + $4, updated_at = now()
WHERE destination_id = $1 AND kind = 'document' AND our_id = $2 AND revision = $3
RETURNING true;

-- name: find_known_documents
-- Which of these documents the ledger knows at a destination, whoever's they are: two of our records may be one client there.
SELECT our_id FROM platform_links WHERE destination_id = $1 AND kind = 'document' AND our_id = ANY($2::uuid[]);

-- name: park_patient
-- From now on nothing is tried for this patient there.
INSERT INTO platform_parked (destination_id, patient_key, why) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: list_parked
-- Patients who are parked, the longest first.
SELECT destination_id, patient_key, why, since FROM platform_parked ORDER BY since LIMIT $1;

-- name: release_patient
-- Try again for this patient.
DELETE FROM platform_parked WHERE destination_id = $1 AND patient_key = $2 RETURNING true;
