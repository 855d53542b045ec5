"""Mapping tables as data, one TOML file each, with the link to the standard on top."""
