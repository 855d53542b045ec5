"""What `normalize` prints beside its JSON lines: losses, coverage, explanations, and what differs between two mappings."""
