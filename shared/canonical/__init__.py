"""The canonical model: what a patient, a document and a log row are, whatever format they came in."""
