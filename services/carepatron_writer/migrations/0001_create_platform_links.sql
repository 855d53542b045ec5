-- Which of our patients and documents is what on which platform, in which version, and what the last record about it came to.
CREATE TABLE platform_links (
  destination_id text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('patient', 'document')),
  our_id uuid NOT NULL,                 -- patient key or document id
  patient_key uuid NOT NULL,
  external_id text,                     -- the platform's id; null until it is known
  source_version text NOT NULL,         -- of what was last claimed
  digest text NOT NULL,                 -- of what was last claimed
  -- waiting: claimed, surely not sent; sending: may have been sent; the others are settled
  state text NOT NULL CHECK (state IN ('waiting', 'sending', 'applied', 'withdrawn', 'superseded', 'refused')),
  status text,                          -- the outcome that settled it
  reason text,                          -- of a refusal
  refused_at text,                      -- `where` of a refusal: a path, never content
  place text NOT NULL,                  -- coordinates of the record that last claimed or settled it
  revision bigint NOT NULL,             -- counts changes: the compare-and-set
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (destination_id, kind, our_id)
) WITH (fillfactor = 70);               -- each row is changed twice for each write: leave room for it in the page

CREATE INDEX platform_links_of_patient ON platform_links (destination_id, patient_key);
