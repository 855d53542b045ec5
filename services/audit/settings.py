"""Settings of audit; every name is read from the environment with the prefix AUDIT_."""

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
