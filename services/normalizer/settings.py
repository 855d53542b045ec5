"""Settings of the normalizer."""

from pathlib import Path

from pydantic import Field

from shared.settings import ServiceSettings, settings_config


class Settings(ServiceSettings):
    """Environment prefix NORMALIZER_."""

    model_config = settings_config("NORMALIZER_")

    relevance_file: Path | None = Field(default=None, description="relevance.toml; none: the one that comes with the service")
    inline_bytes: int = Field(default=64 << 10, description="larger documents, PDFs and images are read in a process of their own")
    read_seconds: float = Field(default=20.0, description="a document that takes longer to read is set aside")
    read_memory_bytes: int = Field(default=2 << 30, description="address space of the reading process")
    patient_wait_seconds: float = Field(default=2.0, description="how long a document waits for a patient that it only refers to")
    claim_check_bytes: int = Field(default=512 << 10, description="larger events carry a reference into the content store")
    replay_lag_limit: int = Field(default=500, description="replays pause while more live records than this are waiting")
