"""What `up` and `demo` can be told through the environment; what is not set is chosen by them."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings

from shared.errors import Misconfigured
from shared.settings import settings_config


def _port(what: str) -> int | None:
    """A port that may be left open."""
    field: int | None = Field(
        default=None, ge=0, le=65535, description=f"port of {what}; unset: the usual one, or a free one; 0: a free one"
    )
    return field


class LocalSettings(BaseSettings):
    """The parts that are somewhere else already, and the ports of those that are started here."""

    model_config = settings_config("")

    healthcare_records_home: Path = Field(default=Path(".healthcare-records"), description="state of the local system")
    kafka_bootstrap_servers: str = Field(default="", description="a Kafka to use instead of starting one")
    database_url: str = Field(default="", repr=False, description="a PostgreSQL to use instead of starting one")
    carepatron_base_url: str = Field(default="", description="a platform to use instead of starting the sandbox")
    carepatron_api_key: str = Field(default="", repr=False, description="its key; the sandbox gets one of its own")
    content_store_url: str = Field(default="", description="a content store to use instead of HOME/content")
    kafka_port: int | None = _port("Kafka")
    postgres_port: int | None = _port("PostgreSQL")
    sandbox_http_port: int | None = _port("the Carepatron sandbox")
    audit_http_port: int | None = _port("audit and its dashboard")
    carepatron_writer_http_port: int | None = _port("carepatron_writer")
    normalizer_http_port: int | None = _port("normalizer")
    ingest_http_port: int | None = _port("ingest")


def read_settings() -> LocalSettings:
    """The settings. Raises Misconfigured with the name of the setting that cannot be used."""
    try:
        return LocalSettings()
    except ValidationError as error:
        wrong = "; ".join(f"{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors(include_input=False, include_url=False))
        raise Misconfigured(f"the environment holds a setting that cannot be used: {wrong}") from None
