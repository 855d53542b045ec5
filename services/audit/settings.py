"""Settings of audit; every name is read from the environment with the prefix AUDIT_."""

from pathlib import Path

from pydantic import Field

from shared.settings import ServiceSettings, settings_config


class Settings(ServiceSettings):
    """What audit needs to know beside the common settings."""

    model_config = settings_config("AUDIT_")

    buffered_records: int = Field(
        default=20_000, description="outcomes held before polling pauses; they are small, and large batches are fast"
    )
    batch_records: int = Field(default=2000, ge=1, description="most outcomes written in one transaction")
    books_interval_seconds: float = Field(default=60.0, gt=0, description="how often the books are checked for the dashboard")
    refresh_seconds: int = Field(default=30, ge=0, description="how often the dashboard reloads itself; 0 never")
    anchor_file: Path | None = Field(
        default=None, description="where the chains' heads are written; none: HEALTHCARE_RECORDS_HOME/audit/anchors.ndjson"
    )
    anchor_url: str = Field(default="", description="address outside that gets each anchor too (POST, JSON)")
    anchor_interval_seconds: float = Field(default=300.0, gt=0, description="how often the chains are anchored")
    signing_key_file: Path | None = Field(
        default=None, description="Ed25519 key of retention's summaries; none: HOME/audit/signing.key, made at first use"
    )

    @property
    def anchors(self) -> Path:
        """The file of anchors."""
        return self.anchor_file or self.platform.healthcare_records_home / "audit" / "anchors.ndjson"

    @property
    def signing_key(self) -> Path:
        """The file of the signing key."""
        return self.signing_key_file or self.platform.healthcare_records_home / "audit" / "signing.key"
