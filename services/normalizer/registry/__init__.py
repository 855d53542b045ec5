"""The registry: what is known of every patient and document, as a function of the set of documents received."""
