"""Settings: environment first, then `.env`; each field says what it does and stands in docs/configuration.md."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def settings_config(prefix: str) -> SettingsConfigDict:
    """The one way settings are read: prefix = service name, unknown keys ignored, values hidden in errors."""
    return SettingsConfigDict(
        env_prefix=prefix,
        env_file=os.environ.get("HEALTHCARE_RECORDS_ENV_FILE", ".env"),
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )


class PlatformSettings(BaseSettings):
    """What every service needs to know: where Kafka, PostgreSQL and the content store are."""

    model_config = settings_config("")

    kafka_bootstrap_servers: str = Field(default="127.0.0.1:9092", description="Kafka brokers, host:port, comma separated")
    database_url: str = Field(
        default="postgresql://postgres@127.0.0.1:5433/healthcare_records", repr=False, description="PostgreSQL, one database"
    )
    content_store_url: str = Field(default="", description="large content: file:///path, s3://…, gs://…, az://…; empty: HOME/content")
    healthcare_records_home: Path = Field(default=Path(".healthcare-records"), description="state of the local system")
    log_level: str = Field(default="info", description="debug, info, warning or error")
    log_format: str = Field(default="json", description="json for machines, console for people")
    providers_file: Path | None = Field(default=None, description="providers.toml; none: every provider id is accepted with defaults")
    clinics_file: Path | None = Field(default=None, description="clinics.toml; none: one clinic with one destination")

    @property
    def bootstrap(self) -> list[str]:
        """The brokers as a list: one string with commas fails in the client."""
        return [one.strip() for one in self.kafka_bootstrap_servers.split(",") if one.strip()]

    @property
    def content_url(self) -> str:
        """The content store's URL, the local folder when none is set."""
        return self.content_store_url or (self.healthcare_records_home.resolve() / "content").as_uri()


class ServiceSettings(BaseSettings):
    """What every service adds under its own prefix: its HTTP door and the bounds of its delivery engine."""

    platform: PlatformSettings = Field(default_factory=PlatformSettings, description="the settings without prefix")
    http_host: str = Field(default="127.0.0.1", description="address of /livez /readyz /metrics; loopback by default")
    http_port: int = Field(default=0, description="port of the same; 0 takes a free one")
    workers: int = Field(default=64, description="records in flight at once")
    buffered_records: int = Field(default=2000, description="records held before polling pauses")
    buffered_bytes: int = Field(default=64 << 20, description="bytes held before polling pauses")
    commit_interval_seconds: float = Field(default=0.5, description="how often finished work is committed")
    retry_max_seconds: float = Field(default=60.0, description="longest pause between tries of one record during an outage")
    drain_seconds: float = Field(default=25.0, description="how long a stop waits for work in flight")
