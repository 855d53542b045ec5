-- What the diet lens sees in a statement: codes, paths and the few values that later ones are compared with, as JSON.
-- Statements stored before have none; a replay of their sources fills it in.
ALTER TABLE patient_statements ADD COLUMN sight bytea NOT NULL DEFAULT '{}';
