-- Patients whom a person has to compare with clients of a platform, what was decided, and what was decided before.
CREATE TABLE platform_reviews (
  destination_id text NOT NULL,
  patient_key uuid NOT NULL,
  clinic_id text,
  candidates jsonb NOT NULL,            -- their ids and the names of fields that agree or differ, never what stands in them
  -- open: nobody has decided; moving: what was written is being taken away from a client that was the wrong one
  state text NOT NULL CHECK (state IN ('open', 'moving', 'link', 'create', 'leave')),
  external_id text,                     -- the client that was chosen
  asked_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (destination_id, patient_key)
);

CREATE INDEX platform_reviews_open ON platform_reviews (asked_at) WHERE state IN ('open', 'moving');

CREATE TABLE platform_decisions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  destination_id text NOT NULL,
  patient_key uuid NOT NULL,
  decision text NOT NULL CHECK (decision IN ('link', 'create', 'leave')),
  external_id text,
  decided_by text NOT NULL,
  decided_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX platform_decisions_of_patient ON platform_decisions (destination_id, patient_key);

-- how often a document was written again under the same version of its source, because the platform had something else
ALTER TABLE platform_links ADD COLUMN repairs integer NOT NULL DEFAULT 0;

-- digest of the bytes that the platform was given: what reading back is compared with
ALTER TABLE platform_links ADD COLUMN content_sha256 text;

-- Patients for whom a platform kept failing while it worked for others: nothing is tried for them until somebody releases them.
CREATE TABLE platform_parked (
  destination_id text NOT NULL,
  patient_key uuid NOT NULL,
  why text NOT NULL,                    -- of the last outage, a word of ours
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (destination_id, patient_key)
);
