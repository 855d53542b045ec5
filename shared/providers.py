"""Providers and clinics as configured: two TOML files, validated at start; without them every provider gets defaults."""

import tomllib
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.canonical.elements import Coding
from shared.canonical.models import DocumentType
from shared.canonical.reading import ProviderProfile
from shared.errors import Misconfigured


class _Entry(BaseModel):
    """A table of the file; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class StandardCode(_Entry):
    """What a code of the sender's own means: `{ system = "http://loinc.org", code = "2345-7", display = "Glucose" }`."""

    system: str
    code: str
    display: str | None = None


class Provider(_Entry):
    """One connection: `[providers.<id>]`."""

    name: str | None = None  # as people call it
    time_zone: str = "UTC"  # IANA name, for times without a zone
    authorities: tuple[str, ...] = ()  # assigning authorities that name patients, in order
    business_systems: tuple[str, ...] = ()  # identifier systems that name documents independent of version
    document_types: dict[str, DocumentType] = Field(default_factory=dict)  # the sender's code (TXA-2, OBR-4, type): before every other rule
    codes: dict[str, StandardCode] = Field(default_factory=dict)  # `system|code` as sent: the standard code that is put beside it
    genders: dict[str, Literal["female", "male", "other", "unknown"]] = Field(default_factory=dict)  # the sender's codes of PID-8

    @field_validator("time_zone")
    @classmethod
    def known_zone(cls, value: str) -> str:
        """The zone must exist."""
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("unknown time zone") from error
        return value


class Destination(_Entry):
    """One account on one platform: `[[clinics.<id>.destinations]]`."""

    id: str  # ours, stands in events and in the ledger
    platform: str = "carepatron"


class Clinic(_Entry):
    """One tenant: `[clinics.<id>]`."""

    name: str | None = None
    providers: tuple[str, ...] = ()  # whose documents concern it; none: everybody's
    enrolment: str = Field(default="open", pattern="^(open|listed)$")  # open: every patient; listed: only those enrolled
    destinations: tuple[Destination, ...] = (Destination(id="carepatron"),)


DEFAULT_CLINICS = {"clinic": Clinic(name="The clinic")}


class Directory:
    """Who publishes and who receives."""

    def __init__(self, providers: dict[str, Provider] | None = None, clinics: dict[str, Clinic] | None = None) -> None:
        self.providers = providers or {}
        self.clinics = clinics or DEFAULT_CLINICS
        self._profiles: dict[str, ProviderProfile] = {}

    def profile(self, provider_id: str) -> ProviderProfile:
        """What reading needs to know of a provider; one that is not listed gets defaults."""
        found = self._profiles.get(provider_id)
        if found is None:
            entry = self.providers.get(provider_id, Provider())
            found = ProviderProfile(
                provider_id,
                entry.time_zone,
                entry.authorities,
                entry.name,
                entry.business_systems,
                {code: str(one) for code, one in entry.document_types.items()},
                {code: Coding(one.system, one.code, one.display) for code, one in entry.codes.items()},
                dict(entry.genders),
            )
            if len(self._profiles) < 10_000:  # ids come from outside
                self._profiles[provider_id] = found
        return found

    def clinics_of(self, provider_id: str) -> list[tuple[str, Clinic]]:
        """The clinics whom a provider's documents concern."""
        return [(key, one) for key, one in self.clinics.items() if not one.providers or provider_id in one.providers]


def load_directory(providers_file: Path | None = None, clinics_file: Path | None = None) -> Directory:
    """Read both files. Raises Misconfigured with the file and the place of the mistake."""
    providers = _read(providers_file, "providers", Provider)
    clinics = _read(clinics_file, "clinics", Clinic)
    return Directory(providers, clinics)


def _read(file: Path | None, table: str, model: type[Any]) -> dict[str, Any] | None:
    """The entries of one file."""
    if file is None:
        return None
    try:
        entries = tomllib.loads(file.read_text("utf-8")).get(table, {})
        return {key: model.model_validate(value) for key, value in entries.items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"{file}: {type(error).__name__}: cannot be read as TOML") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise Misconfigured(f"{file}: {table}: {'.'.join(str(one) for one in first['loc'])}: {first['msg']}") from error
