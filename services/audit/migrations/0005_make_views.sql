-- The views that other dashboards may rely on: a column is never renamed or dropped inside a version.

-- Every outcome, newest work last in `received_order`; `details` holds codes, counts and coordinates, never clinical content.
CREATE OR REPLACE VIEW sync_log_v1 AS
SELECT
    id, patient_id, document_id, action, "timestamp", status, reason, "where", stage, platform, external_id, provider, clinic_id, attempt,
    duration_ms, correlation_id, replay_id, mapping_version, document_type,
    jsonb_strip_nulls(details || jsonb_build_object(
        'topic', topic, 'partition', partition, 'offset', "offset", 'part', part, 'origin', origin, 'destination_id', destination_id,
        'source_version', source_version, 'format', format, 'sha256', sha256, 'size', size, 'rule', rule,
        'warnings', CASE WHEN warnings <> '{}' THEN to_jsonb(warnings) END,
        'passed_on', CASE WHEN passed_on <> '{}' THEN to_jsonb(passed_on) END
    )) AS details,
    is_terminal
FROM synchronization_log;

-- What became of each document: its latest terminal outcome. A repetition or an outdated version that came later does not hide it.
CREATE OR REPLACE VIEW document_status_v1 AS
SELECT DISTINCT ON (document_id)
    document_id, patient_id, status, reason, "where", "timestamp", stage, action, platform, external_id, provider, clinic_id, document_type,
    source_version, correlation_id, id AS outcome_id
FROM synchronization_log
WHERE is_terminal AND document_id IS NOT NULL AND action IS DISTINCT FROM 'upsert_patient'
ORDER BY document_id, (status IN ('duplicate', 'superseded')), "timestamp" DESC, received_order DESC;

-- How each patient stands on the platform: the latest terminal outcome of the patient's snapshot.
CREATE OR REPLACE VIEW patient_status_v1 AS
SELECT DISTINCT ON (patient_id)
    patient_id, status, reason, "where", "timestamp", stage, platform, external_id, provider, clinic_id, correlation_id, id AS outcome_id
FROM synchronization_log
WHERE is_terminal AND patient_id IS NOT NULL AND action IN ('upsert_patient', 'merge_patient')
ORDER BY patient_id, (status IN ('duplicate', 'superseded')), "timestamp" DESC, received_order DESC;

-- How each provider's deliveries went in the last day: counts, the share refused, the newest outcome.
CREATE OR REPLACE VIEW provider_health_v1 AS
SELECT
    coalesce(provider, 'unknown') AS provider,
    count(*) FILTER (WHERE stage = 'ingest') AS received,
    count(*) FILTER (WHERE status = 'duplicate') AS duplicates,
    count(*) FILTER (WHERE is_terminal AND status IN ('created', 'updated', 'unchanged', 'withdrawn')) AS on_platform,
    count(*) FILTER (WHERE status = 'skipped') AS skipped,
    count(*) FILTER (WHERE status = 'rejected') AS rejected,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    round(count(*) FILTER (WHERE status IN ('rejected', 'failed')) / greatest(count(*) FILTER (WHERE is_terminal), 1)::numeric, 4) AS refused_share,
    max("timestamp") AS newest
FROM synchronization_log
WHERE "timestamp" > now() - interval '1 day'
GROUP BY 1;

-- How much of what each provider sends is read, by format and mapping version: a drift of the sender, or of a mapping, shows here.
CREATE OR REPLACE VIEW mapping_losses_v1 AS
SELECT
    coalesce(provider, 'unknown') AS provider, format, mapping_version, count(*) AS messages,
    sum((details #>> '{losses,mapped}')::bigint) AS mapped, sum(coalesce((details #>> '{losses,left_out}')::bigint, 0)) AS left_out,
    sum(coalesce((details #>> '{losses,unmapped}')::bigint, 0)) AS unmapped,
    round(
        sum((details #>> '{losses,mapped}')::bigint)
        / greatest(sum((details #>> '{losses,mapped}')::bigint + coalesce((details #>> '{losses,unmapped}')::bigint, 0)), 1), 4
    ) AS score,
    min("timestamp") AS first, max("timestamp") AS newest
FROM synchronization_log
WHERE stage = 'normalizer' AND details ? 'losses'
GROUP BY 1, 2, 3;

-- Which paths are not mapped, and in how many messages, by provider, format and mapping version.
CREATE OR REPLACE VIEW unmapped_paths_v1 AS
SELECT
    coalesce(provider, 'unknown') AS provider, format, mapping_version, path.key AS path, count(*) AS messages, sum(path.value::bigint) AS elements,
    min("timestamp") AS first, max("timestamp") AS newest
FROM synchronization_log, jsonb_each_text(details #> '{losses,paths}') AS path
WHERE stage = 'normalizer' AND details ? 'losses'
GROUP BY 1, 2, 3, 4;
