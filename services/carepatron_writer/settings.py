"""Settings of the writer, and of the account behind each destination."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from shared.settings import ServiceSettings, settings_config


class Settings(ServiceSettings):
    """Environment prefix CAREPATRON_WRITER_."""

    model_config = settings_config("CAREPATRON_WRITER_")

    ledger_connections: int = Field(default=6, description="connections to PostgreSQL for the ledger")
    read_back_share: float = Field(default=0.01, ge=0, le=1, description="part of all writes that is read back and compared, by chance")
    rendering_processes: int = Field(default=1, ge=1, description="processes that make PDFs, each up to 150 MiB while there is work")
    park_after_seconds: float = Field(default=900.0, gt=0, description="a patient for whom alone a platform fails this long is parked")


class AccountSettings(BaseSettings):
    """Environment prefix: the destination's id in capitals, CAREPATRON_ for the destination `carepatron`."""

    model_config = settings_config("CAREPATRON_")

    base_url: str = Field(default="", description="address of the destination, with /v1 for the sandbox; there is no default")
    provider_id: str = Field(default="sandbox", description="the clinic's account there")
    api_key: SecretStr = Field(default=SecretStr(""), description="the account's key (header cp-api-key)")
    api_key_file: Path | None = Field(default=None, description="file with the key, read again after a 401; before the key itself")
    requests_per_minute: int | None = Field(default=None, ge=0, description="rate allowed to this account; none: as in profile.toml")
    allowed_effects: tuple[str, ...] = Field(default=(), description='what the platform may do besides, as JSON: ["email_client"]')
