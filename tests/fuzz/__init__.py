"""Fuzzing: golden inputs changed by chance, read, and the reading encoded; nothing may raise, hang, or say a sender's word as a place."""
