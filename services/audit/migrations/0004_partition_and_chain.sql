-- The log by month of its recording, append-only, each row chained to the one before it; keys by which a patient can be forgotten.

DROP VIEW unmapped_paths_v1, mapping_losses_v1, provider_health_v1, patient_status_v1, document_status_v1, sync_log_v1;
ALTER TABLE synchronization_log RENAME TO synchronization_log_before;
ALTER TABLE synchronization_log_before RENAME CONSTRAINT synchronization_log_pkey TO synchronization_log_before_pkey;
DROP INDEX synchronization_log_time, synchronization_log_patient, synchronization_log_document, synchronization_log_correlation,
    synchronization_log_replay, synchronization_log_provider, synchronization_log_status, synchronization_log_reason,
    synchronization_log_coordinates;
CREATE SEQUENCE synchronization_log_order;

-- One row for each outcome. `recorded_at` never runs backwards within a chain, so each chain lies in its months one piece after the other.
CREATE TABLE synchronization_log (
    id uuid NOT NULL,
    patient_id uuid,
    document_id uuid,
    action text,
    "timestamp" timestamptz NOT NULL,
    status text COLLATE "C" NOT NULL,
    details jsonb NOT NULL DEFAULT '{}',
    stage text COLLATE "C" NOT NULL,
    reason text COLLATE "C",
    "where" text,
    platform text,
    external_id text,
    provider text COLLATE "C",
    attempt integer NOT NULL DEFAULT 1,
    duration_ms bigint NOT NULL DEFAULT 0,
    correlation_id text COLLATE "C",
    replay_id text COLLATE "C",
    mapping_version text,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    part integer NOT NULL DEFAULT 0,
    passed_on text[] NOT NULL DEFAULT '{}',
    origin text,
    clinic_id text,
    destination_id text,
    document_type text,
    source_version text,
    format text,
    sha256 text,
    size bigint,
    rule text,
    warnings text[] NOT NULL DEFAULT '{}',
    is_terminal boolean NOT NULL,
    received_order bigint NOT NULL DEFAULT nextval('synchronization_log_order'),
    recorded_at timestamptz NOT NULL,
    chain integer,                        -- the partition of the outcome topic; null: from before the chain
    chain_seq bigint,                     -- 1, 2, 3 … within the chain
    key_id uuid,                          -- whose key the commitment was made with
    commitment bytea,                     -- keyed digest of what identifies: patient, document, platform's id, event, receipt, content
    row_hash bytea,                       -- digest of the row before, this row's other columns, and the commitment
    PRIMARY KEY (id, recorded_at)
) PARTITION BY RANGE (recorded_at);

CREATE INDEX synchronization_log_time ON synchronization_log ("timestamp" DESC, received_order DESC);
CREATE INDEX synchronization_log_patient ON synchronization_log (patient_id, "timestamp" DESC) WHERE patient_id IS NOT NULL;
CREATE INDEX synchronization_log_document ON synchronization_log (document_id, "timestamp" DESC) WHERE document_id IS NOT NULL;
CREATE INDEX synchronization_log_correlation ON synchronization_log (correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX synchronization_log_replay ON synchronization_log (replay_id, "timestamp" DESC) WHERE replay_id IS NOT NULL;
CREATE INDEX synchronization_log_provider ON synchronization_log (provider, "timestamp" DESC);
CREATE INDEX synchronization_log_status ON synchronization_log (status, "timestamp" DESC);
CREATE INDEX synchronization_log_reason ON synchronization_log (reason, "timestamp" DESC) WHERE reason IS NOT NULL;
CREATE INDEX synchronization_log_coordinates ON synchronization_log (topic, partition, "offset", stage);
CREATE INDEX synchronization_log_chain ON synchronization_log (chain, chain_seq);

-- A month's piece of the log, made when its first row is due.
CREATE FUNCTION make_log_month(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := format('synchronization_log_%s', to_char(month, 'YYYYMM'));
    begins timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
    ends timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('make_log_month'));
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF synchronization_log FOR VALUES FROM (%L) TO (%L)', name, begins, ends);
        EXECUTE format('CREATE TRIGGER keep_truncated BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    END IF;
END $$;

-- Append-only for whoever asks in the ordinary way. Forgetting a patient is a function of its own, below.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('healthcare_records.erasing', true) = 'on' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the synchronization log is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON synchronization_log FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Which outcomes are known: an id is unique over all months.
CREATE TABLE outcome_ids (id uuid PRIMARY KEY, recorded_at timestamptz NOT NULL);
CREATE INDEX outcome_ids_time ON outcome_ids USING brin (recorded_at);

-- The key of each patient's commitments. Without it nobody can tell any more whom a row was about; the row stays in its chain.
CREATE TABLE audit_keys (
    key_id uuid PRIMARY KEY,
    patient_id uuid UNIQUE,
    key bytea,
    made_at timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    CHECK ((key IS NULL) = (destroyed_at IS NOT NULL))
);

-- Where each chain stands, in the same transaction as its rows.
CREATE TABLE chain_heads (chain integer PRIMARY KEY, seq bigint NOT NULL, hash bytea NOT NULL, recorded_at timestamptz NOT NULL);

-- What is left of a month that retention has dropped.
CREATE TABLE chain_summaries (
    month date NOT NULL,
    chain integer NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    last_hash bytea NOT NULL,
    rows_dropped bigint NOT NULL,
    dropped_at timestamptz NOT NULL,
    signature bytea NOT NULL,             -- Ed25519 over the columns before
    public_key bytea NOT NULL,
    PRIMARY KEY (month, chain)
);

DO $$
DECLARE
    month date;
BEGIN
    FOR month IN
        SELECT DISTINCT date_trunc('month', "timestamp" AT TIME ZONE 'UTC')::date FROM synchronization_log_before
        UNION SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date
    LOOP
        PERFORM make_log_month(month);
    END LOOP;
END $$;
INSERT INTO synchronization_log (
    id, patient_id, document_id, action, "timestamp", status, details, stage, reason, "where", platform, external_id, provider, attempt, duration_ms, correlation_id, replay_id, mapping_version, topic, partition, "offset", part, passed_on, origin, clinic_id, destination_id, document_type, source_version, format, sha256, size, rule, warnings, is_terminal, received_order,
    recorded_at
)
SELECT
    id, patient_id, document_id, action, "timestamp", status, details, stage, reason, "where", platform, external_id, provider, attempt, duration_ms, correlation_id, replay_id, mapping_version, topic, partition, "offset", part, passed_on, origin, clinic_id, destination_id, document_type, source_version, format, sha256, size, rule, warnings, is_terminal, received_order,
    "timestamp"
FROM synchronization_log_before;
INSERT INTO outcome_ids SELECT id, "timestamp" FROM synchronization_log_before;
SELECT setval('synchronization_log_order', coalesce((SELECT max(received_order) FROM synchronization_log_before), 0) + 1, false);
DROP TABLE synchronization_log_before;

-- Forget a patient: nothing in the log names them any more, and nobody can show that it did. Returns the rows concerned.
CREATE FUNCTION erase_patient(patient uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
BEGIN
    PERFORM set_config('healthcare_records.erasing', 'on', true);
    UPDATE synchronization_log SET patient_id = NULL, document_id = NULL, external_id = NULL, correlation_id = NULL, origin = NULL, sha256 = NULL
    WHERE patient_id = patient;
    GET DIAGNOSTICS changed = ROW_COUNT;
    UPDATE quarantined_documents SET patient_id = NULL, document_id = NULL, sha256 = NULL, contentref = NULL WHERE patient_id = patient;
    UPDATE audit_keys SET key = NULL, patient_id = NULL, destroyed_at = now() WHERE patient_id = patient;
    PERFORM set_config('healthcare_records.erasing', 'off', true);
    RETURN changed;
END $$;

