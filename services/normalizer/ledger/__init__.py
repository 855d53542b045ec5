"""The loss ledger: what became of each element of a source. Tables in `mappings/ledger_*.toml` say it; tests hold them against the readers.

An element is the smallest thing that a format gives a name and a value: a field of HL7 v2 (a component, where the reader takes a
field apart), a primitive of FHIR, an attribute or a text of CDA.
"""
