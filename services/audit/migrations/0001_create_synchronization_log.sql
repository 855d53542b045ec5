-- What became of every event: the log, the quarantine desk, and how far each topic was read.

-- Append-only; one row for each outcome. The primary key is the outcome's own id: a repetition of the same work finds it taken. Nothing
-- refers to the table by foreign key and every reader outside the service goes through a view, so that the table can be partitioned by month later.
-- Codes and ids compare by byte (COLLATE "C"): cheaper to insert than by the rules of a language.
CREATE TABLE synchronization_log (
    id uuid PRIMARY KEY,
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
    received_order bigint GENERATED ALWAYS AS IDENTITY
);

CREATE INDEX synchronization_log_time ON synchronization_log ("timestamp" DESC, received_order DESC);
CREATE INDEX synchronization_log_patient ON synchronization_log (patient_id, "timestamp" DESC) WHERE patient_id IS NOT NULL;
CREATE INDEX synchronization_log_document ON synchronization_log (document_id, "timestamp" DESC) WHERE document_id IS NOT NULL;
CREATE INDEX synchronization_log_correlation ON synchronization_log (correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX synchronization_log_replay ON synchronization_log (replay_id, "timestamp" DESC) WHERE replay_id IS NOT NULL;
CREATE INDEX synchronization_log_provider ON synchronization_log (provider, "timestamp" DESC);
CREATE INDEX synchronization_log_status ON synchronization_log (status, "timestamp" DESC);
CREATE INDEX synchronization_log_reason ON synchronization_log (reason, "timestamp" DESC) WHERE reason IS NOT NULL;
CREATE INDEX synchronization_log_coordinates ON synchronization_log (topic, partition, "offset", stage);

-- The desk: what was set aside, until somebody releases or discards it.
CREATE TABLE quarantined_documents (
    id uuid PRIMARY KEY,
    stage text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    reason text,
    "where" text,
    defect text,
    provider text,
    document_id uuid,
    patient_id uuid,
    sha256 text,
    size bigint,
    contentref text,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'released', 'discarded')),
    quarantined_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz
);

CREATE INDEX quarantined_documents_open ON quarantined_documents (quarantined_at DESC) WHERE state = 'open';
CREATE INDEX quarantined_documents_coordinates ON quarantined_documents (topic, partition, "offset");

-- How far a group has read, kept in the same transaction as what it read.
CREATE TABLE consumed_offsets (
    "group" text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY ("group", topic, partition)
);
