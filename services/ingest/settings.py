"""Settings of the ingest service."""

from pydantic import Field

from shared.settings import ServiceSettings, settings_config


class Settings(ServiceSettings):
    """Read from `INGEST_…`; the bounds are for one published record or one request."""

    model_config = settings_config("INGEST_")

    max_bytes: int = Field(default=50 << 20, description="largest document that is taken, over HTTP, from a folder or by reference")
    claim_check_bytes: int = Field(default=512 * 1024, description="content above this goes to the content store, the event names it")
    max_parts: int = Field(default=10_000, description="most messages in one published record")
    default_provider_id: str = Field(default="default", description="provider of a record that names none")
    inline_bytes: int = Field(default=32 << 10, description="larger content is split in a process of its own: more takes over 10 ms")
    split_seconds: float = Field(default=30.0, description="how long splitting one published record may take")
    split_memory_bytes: int = Field(default=2 << 30, description="address space of the splitting process")
    request_seconds: float = Field(default=30.0, description="how long a sender may take to send its body")
    publish_seconds: float = Field(default=10.0, description="how long a request waits for the broker's acknowledgement")
    max_requests: int = Field(default=32, description="requests read at once; further ones are asked to come again")
