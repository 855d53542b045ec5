"""The four services and the command line that puts them together."""
