-- What was received, by digest, so that the same bytes of one provider are passed on once.

-- A row is a claim until `received` names the record that was produced; only then is anything else a duplicate of it.
-- `scope` is the patient key: the same leaflet for two patients is no duplicate. `origin` and `part` say which published record holds the claim.
CREATE TABLE received_digests (
    provider_id text NOT NULL,
    sha256 bytea NOT NULL,
    scope text NOT NULL DEFAULT '',
    origin text NOT NULL,
    part integer NOT NULL,
    received text,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider_id, sha256, scope)
);
