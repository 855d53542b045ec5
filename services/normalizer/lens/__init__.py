"""The diet lens: what changed for a dietician between two states of a patient, by rules in `mappings/diet_lens.toml`. Pure."""
