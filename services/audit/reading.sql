-- name: select_rows
-- The rows of the log; conditions and order follow.
SELECT * FROM synchronization_log;

-- name: select_timeline
-- A document's rows, and those rows of its events that do not name a document or a patient's snapshot, oldest first.
WITH own AS (
    SELECT * FROM synchronization_log WHERE document_id = $1 ORDER BY "timestamp" DESC, received_order DESC LIMIT $2
), around AS (
    SELECT l.* FROM synchronization_log l
    WHERE l.correlation_id IN (SELECT correlation_id FROM own) AND l.document_id IS NULL AND l.action IS DISTINCT FROM 'upsert_patient'
    LIMIT $2
)
SELECT * FROM (SELECT * FROM own UNION ALL SELECT * FROM around) AS story ORDER BY "timestamp", received_order;

-- name: count_by_stage
-- What happened in the last day and in the last hour, by stage and status; patients apart from documents.
SELECT
    stage, status, is_terminal, coalesce(action IN ('upsert_patient', 'merge_patient'), false) AS is_patient, count(*) AS day,
    count(*) FILTER (WHERE "timestamp" > now() - interval '1 hour') AS hour
FROM synchronization_log WHERE "timestamp" > now() - interval '1 day' GROUP BY 1, 2, 3, 4;

-- name: count_by_hour
-- Outcomes of the first stage by hour, the last 24 hours, oldest first.
SELECT h AS hour, count(l.id) AS published
FROM generate_series(date_trunc('hour', now()) - interval '23 hours', date_trunc('hour', now()), interval '1 hour') AS h
LEFT JOIN synchronization_log l ON l."timestamp" >= h AND l."timestamp" < h + interval '1 hour' AND l.stage = 'ingest'
GROUP BY h ORDER BY h;

-- name: find_open_reasons
-- Refusals of the last 30 days that nothing has settled since: no later good outcome of the document (or the patient's snapshot), and not
-- decided at the desk.
SELECT o.reason, count(*) AS items, max(o."timestamp") AS newest, count(DISTINCT o.provider) AS providers
FROM synchronization_log o
WHERE o.reason IS NOT NULL AND o.is_terminal AND o."timestamp" > now() - interval '30 days'
    AND NOT EXISTS (SELECT FROM quarantined_documents q WHERE q.id = o.id AND q.state <> 'open')
    AND NOT EXISTS (
        SELECT FROM synchronization_log l
        WHERE l.document_id = o.document_id AND l."timestamp" > o."timestamp" AND l.is_terminal AND l.reason IS NULL
            AND l.status IN ('created', 'updated', 'unchanged', 'withdrawn')
            AND (o.destination_id IS NULL OR l.destination_id = o.destination_id)
    )
    AND NOT EXISTS (
        SELECT FROM synchronization_log l
        WHERE o.document_id IS NULL AND l.patient_id = o.patient_id AND l.action = o.action AND l."timestamp" > o."timestamp"
            AND l.status IN ('created', 'updated', 'unchanged') AND (o.destination_id IS NULL OR l.destination_id = o.destination_id)
    )
GROUP BY o.reason ORDER BY max(o."timestamp") DESC;

-- name: count_statuses
-- How many outcomes there are by stage and status, all together.
SELECT stage, status, count(*) AS rows FROM synchronization_log GROUP BY stage, status ORDER BY stage, rows DESC;

-- name: count_open_quarantine
-- How many documents wait at the desk.
SELECT count(*) FROM quarantined_documents WHERE state = 'open';

-- name: select_losses
-- How much of what each provider sends is read; of one provider when it is given.
SELECT provider, format, mapping_version, messages, mapped, left_out, unmapped, score, first, newest FROM mapping_losses_v1
WHERE $1::text IS NULL OR provider = $1 ORDER BY provider, format, newest;

-- name: select_unmapped_paths
-- The paths that are not mapped most often; of one provider when it is given.
SELECT provider, format, mapping_version, path, messages, elements FROM unmapped_paths_v1
WHERE $1::text IS NULL OR provider = $1 ORDER BY elements DESC, path LIMIT $2;
