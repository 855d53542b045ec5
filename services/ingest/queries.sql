-- name: claim_digests
-- First come, first served; in key order, so that two batches never wait for each other in a circle.
INSERT INTO received_digests (provider_id, sha256, scope, origin, part)
SELECT * FROM unnest($1::text[], $2::bytea[], $3::text[], $4::text[], $5::integer[]) AS c (provider_id, sha256, scope, origin, part)
ORDER BY provider_id, sha256, scope
ON CONFLICT DO NOTHING;

-- name: read_claims
-- Who holds each digest, what was produced from it, and how old the claim is; in the order asked for.
SELECT d.origin, d.part, d.received, extract(epoch FROM now() - d.claimed_at)::float8 AS age_seconds
FROM unnest($1::text[], $2::bytea[], $3::text[]) WITH ORDINALITY AS c (provider_id, sha256, scope, number)
LEFT JOIN received_digests d USING (provider_id, sha256, scope)
ORDER BY c.number;

-- name: take_over_claim
-- Compare and set: only while the claim is still the one that was read and nothing was produced from it.
UPDATE received_digests SET origin = $4, part = $5, claimed_at = now()
WHERE provider_id = $1 AND sha256 = $2 AND scope = $3 AND origin = $6 AND part = $7 AND received IS NULL
RETURNING true;

-- name: remember_received
-- The coordinates of what was produced; a claim that somebody else took over meanwhile stays theirs.
UPDATE received_digests d SET received = c.received
FROM unnest($1::text[], $2::bytea[], $3::text[], $4::text[], $5::integer[], $6::text[]) AS c (provider_id, sha256, scope, origin, part, received)
WHERE d.provider_id = c.provider_id AND d.sha256 = c.sha256 AND d.scope = c.scope
AND d.origin = c.origin AND d.part = c.part AND d.received IS NULL;

-- name: count_progress
-- How far a published document came, through audit's view: rows of each stage, and what each stage passed on.
SELECT stage, count(*) AS rows, coalesce(sum(jsonb_array_length(coalesce(details -> 'passed_on', '[]'))), 0)::bigint AS passed_on
FROM sync_log_v1 WHERE correlation_id = $1 GROUP BY stage;

-- name: fetch_outcomes
-- What became of a published document so far, through audit's view.
SELECT stage, status, action, reason, "where", document_id, platform, "timestamp" FROM sync_log_v1
WHERE correlation_id = $1 ORDER BY "timestamp", stage, id LIMIT $2;

-- name: find_received
-- Where the bytes of a patient, a document or a reason were received, in received order, through audit's view.
SELECT details ->> 'topic' || '/' || (details ->> 'partition') || '/' || (details ->> 'offset') AS place
FROM sync_log_v1
WHERE stage = 'normalizer' AND details ->> 'topic' = $1
AND ($2::text IS NULL OR provider = $2) AND ($3::uuid IS NULL OR patient_id = $3)
AND ($4::uuid IS NULL OR document_id = $4) AND ($5::text IS NULL OR reason = $5)
GROUP BY details ->> 'topic', details ->> 'partition', details ->> 'offset'
ORDER BY (details ->> 'partition')::integer, (details ->> 'offset')::bigint;
