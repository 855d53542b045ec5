"""Readers: one for each source format, from bytes to a reading. They never raise for what the bytes hold."""
