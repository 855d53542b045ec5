-- The registry: users, patients with every statement about them, documents with every content of the shown version.
CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    carepatron_id text
);

CREATE TABLE patients (
    patient_key uuid PRIMARY KEY,
    provider_id text NOT NULL,
    user_id uuid REFERENCES users (id),
    snapshot bytea,                       -- canonical JSON, merged from the statements
    revision bigint NOT NULL DEFAULT 0,   -- counts changes of the snapshot
    published_revision bigint NOT NULL DEFAULT -1, -- the broker has acknowledged this one
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE patient_statements (
    patient_key uuid NOT NULL REFERENCES patients (patient_key),
    source_key text NOT NULL,             -- document id, or message|sha256
    statement_order text NOT NULL,        -- source time, version, digest
    reading bytea NOT NULL,               -- JSON as read
    is_withdrawn boolean NOT NULL DEFAULT false,
    PRIMARY KEY (patient_key, source_key)
);

CREATE TABLE patient_identifiers (
    provider_id text NOT NULL,
    system text NOT NULL,
    value text NOT NULL,
    patient_key uuid NOT NULL REFERENCES patients (patient_key),
    PRIMARY KEY (provider_id, system, value, patient_key)
);

CREATE TABLE enrolments (
    clinic_id text NOT NULL,
    patient_key uuid NOT NULL,
    user_id uuid REFERENCES users (id),
    PRIMARY KEY (clinic_id, patient_key)
);

CREATE TABLE healthcare_documents (
    document_id uuid PRIMARY KEY,
    patient_key uuid NOT NULL REFERENCES patients (patient_key),
    provider_id text NOT NULL,
    type text NOT NULL,
    status text NOT NULL,
    source_version text NOT NULL,         -- the highest one offered
    shown_sha256 text NOT NULL,           -- which content of that version is shown
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX healthcare_documents_by_patient ON healthcare_documents (patient_key);
CREATE INDEX healthcare_documents_by_provider ON healthcare_documents (provider_id);

CREATE TABLE document_contents (
    document_id uuid NOT NULL,
    source_version text NOT NULL,
    sha256 text NOT NULL,                 -- of the source bytes; more than one row for a version is a conflict
    digest text NOT NULL,                 -- of the canonical JSON
    mapping integer NOT NULL,             -- mapping version that read it
    origin text NOT NULL,                 -- topic/partition/offset where these bytes were last received; replays keep it
    document bytea NOT NULL,              -- canonical JSON
    statement bytea,                      -- what it says about the patient
    statement_order text NOT NULL,
    PRIMARY KEY (document_id, source_version, sha256)
);
