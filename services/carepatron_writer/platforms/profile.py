"""What is known of a platform as data: `profile.toml` in its folder, read at start into a frozen value."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files

from services.carepatron_writer.platforms.port import Capabilities
from shared.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Profile:
    """Limits, windows, side effects and evidence of one platform."""

    name: str
    max_bytes: int
    requests_per_minute: int  # 0: no limit known
    requests_in_flight: int
    timeout_seconds: float  # of one request with its answer
    max_answer_bytes: int
    retry_header: str
    retry_default_seconds: float
    retry_cap_seconds: float
    idempotency_header: str
    media_types: tuple[str, ...]
    may_email_client: bool
    capabilities: Capabilities


def load_profile(package: str, file: str = "profile.toml") -> Profile:
    """The profile of a platform's package. Raises Misconfigured when it is incomplete or asks for what is never done."""
    try:
        table = tomllib.loads(files(package).joinpath(file).read_text("utf-8"))
        limits, retry, documents = table["limits"], table["retry"], table["documents"]
        effects, features = table["side_effects"], table["features"]
        forbidden = [name for name in ("share_with_client", "merge_clients", "delete") if effects[name]]
        profile = Profile(
            name=table["name"],
            max_bytes=limits["max_bytes"],
            requests_per_minute=limits["requests_per_minute"],
            requests_in_flight=limits["requests_in_flight"],
            timeout_seconds=limits["timeout_seconds"],
            max_answer_bytes=limits["max_answer_bytes"],
            retry_header=retry["header"],
            retry_default_seconds=retry["default_seconds"],
            retry_cap_seconds=retry["cap_seconds"],
            idempotency_header=table["idempotency"]["header"],
            media_types=tuple(documents["media_types"]),
            may_email_client=effects["email_client"],
            capabilities=Capabilities(
                write_documents=documents["write"],
                upsert_by_reference=documents["upsert_by_reference"],
                update_content=documents["update_content"],
                withdraw=documents["withdraw"],
                share=effects["share_with_client"],
                webhooks=features["webhooks"],
                export_contacts=features["export_contacts"],
                max_bytes=limits["max_bytes"],
                media_types=tuple(documents["media_types"]),
                evidence=table["evidence"],
            ),
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise Misconfigured(f"{package}/{file}: {type(error).__name__}: the profile is incomplete") from error
    if forbidden:
        raise Misconfigured(f"{package}/{file}: side_effects: {', '.join(forbidden)} must be false: the adapter never does it")
    if not 0 < profile.timeout_seconds <= 20:
        raise Misconfigured(f"{package}/{file}: limits: timeout_seconds must be above 0 and at most 20")
    return profile
