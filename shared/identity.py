"""Rules that make ids and versions: pure, deterministic, the same in every service and on every replay."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

NAMESPACE = uuid.UUID("5d1a4f0e-6f0b-5c53-9d7e-2f3f6c0a8b11")


@dataclass(frozen=True, slots=True)
class PatientIdentifier:
    """An identifier of a patient: assigning authority (or system), value and HL7 table 0203 type."""

    system: str | None
    value: str
    type: str | None = None


def digest(content: bytes) -> str:
    """SHA-256 of the bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def normalize_system(system: str | None) -> str:
    """An identifier system in one spelling: OIDs as `urn:oid:`, everything trimmed, case kept."""
    if not system:
        return ""
    trimmed = system.strip()
    bare = trimmed.removeprefix("urn:oid:")
    if bare and all(arc.isdigit() for arc in bare.split(".")) and "." in bare:
        return f"urn:oid:{bare}"
    return trimmed


def choose_identifier(identifiers: Sequence[PatientIdentifier], authorities: Sequence[str] = ()) -> PatientIdentifier | None:
    """The identifier that names the patient: of the provider's configured authority, else type MR, else PI, else the first."""
    usable = [one for one in identifiers if one.value and one.value.strip()]
    wanted = {normalize_system(one) for one in authorities}
    for one in usable:
        if wanted and normalize_system(one.system) in wanted:
            return one
    for kind in ("MR", "PI"):
        for one in usable:
            if one.type == kind:
                return one
    return usable[0] if usable else None


def patient_key(provider_id: str, identifier: PatientIdentifier) -> str:
    """The stable, opaque key of a patient of one provider (a UUID in text)."""
    return str(uuid.uuid5(NAMESPACE, f"patient|{provider_id}|{normalize_system(identifier.system)}|{identifier.value.strip()}"))


def document_id(provider_id: str, canonical_key: str) -> str:
    """The id of a document, independent of its version (a UUID in text). The canonical key never holds patient data."""
    return str(uuid.uuid5(NAMESPACE, f"v1|{provider_id}|{canonical_key.strip()}"))


def outcome_id(topic: str, partition: int, offset: int, stage: str, part: int = 0, replay_id: str | None = None) -> str:
    """The id of an outcome: the same record processed twice gives the same row."""
    return str(uuid.uuid5(NAMESPACE, f"outcome|{topic}|{partition}|{offset}|{stage}|{part}|{replay_id or ''}"))


def source_version(kind: str, version: int | None = None, edited_at: datetime | None = None, rank: int = 0) -> str:
    """`<kind>:<20-digit version>:<UTC edit time>:<two-digit status rank>`, compared as plain text inside one kind.

    `edited_at` must be aware (the caller applies the provider's zone); None sorts before every time.
    Raises ValueError for a naive time, a version outside 0…10^20-1 or a rank outside 0…99.
    """
    number = version or 0
    if not 0 <= number < 10**20 or not 0 <= rank <= 99:
        raise ValueError("version or rank out of range")
    if edited_at is None:
        stamp = "00000000T000000.000000Z"
    else:
        if edited_at.tzinfo is None:
            raise ValueError("edited_at needs a zone")
        # strftime leaves out the leading zeros of a year before 1000
        utc = edited_at.astimezone(UTC)
        stamp = f"{utc.year:04d}{utc:%m%dT%H%M%S.%fZ}"
    return f"{kind}:{number:020d}:{stamp}:{rank:02d}"


def version_kind(version: str) -> str:
    """The kind inside a source version; versions of different kinds cannot be compared."""
    return version.partition(":")[0]


def aware(moment: datetime, zone: tzinfo) -> datetime:
    """The moment with a zone: its own, else the provider's configured one."""
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def coordinates(topic: str, partition: int, offset: int) -> str:
    """`topic/partition/offset`, the place of a record in Kafka."""
    return f"{topic}/{partition}/{offset}"


def parse_coordinates(text: str) -> tuple[str, int, int]:
    """The three parts of `topic/partition/offset`; raises ValueError when it is none."""
    topic, partition, offset = text.rsplit("/", 2)
    return topic, int(partition), int(offset)


def sortable_origin(text: str) -> tuple[int, str, int]:
    """Order of receipt inside one patient: the offset first, since all records of a patient share a partition."""
    topic, partition, offset = parse_coordinates(text)
    return offset, topic, partition
