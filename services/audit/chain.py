"""The hash chain of the log, pure: what a row commits to, how rows hang together, and what a broken chain says.

Each partition of the outcome topic is a chain. A row's hash covers the hash before it, its own columns that name nobody, and a keyed digest
(commitment) of those that do. So the chain can be checked after a patient was forgotten: the commitment stays, the key is gone.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

GENESIS = bytes(32)
HOUSE_KEY = UUID(int=0)  # of rows that name no patient
IDENTIFYING = ("patient_id", "document_id", "external_id", "correlation_id", "origin", "sha256")
PLAIN = (
    "id",
    "action",
    "timestamp",
    "status",
    "details",
    "stage",
    "reason",
    "where",
    "platform",
    "provider",
    "attempt",
    "duration_ms",
    "replay_id",
    "mapping_version",
    "topic",
    "partition",
    "offset",
    "part",
    "passed_on",
    "clinic_id",
    "destination_id",
    "document_type",
    "source_version",
    "format",
    "size",
    "rule",
    "warnings",
    "is_terminal",
)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands."""

    seq: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is wrong with a chain."""

    chain: int
    seq: int
    what: str  # edited, identity_edited, missing, cut_off, anchor_differs
    row_id: str | None = None


@dataclass(slots=True)
class ChainReport:
    """What checking found."""

    rows: int = 0
    erased: int = 0  # rows whose patient was forgotten
    unchained: int = 0  # rows from before the chain
    heads: dict[int, Head] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "is_whole": not self.faults,
            "rows": self.rows,
            "erased": self.erased,
            "unchained": self.unchained,
            "heads": {str(chain): {"seq": head.seq, "hash": head.hash.hex()} for chain, head in sorted(self.heads.items())},
            "faults": [{"chain": one.chain, "seq": one.seq, "what": one.what, "row_id": one.row_id} for one in self.faults],
        }


def commitment_of(row: Mapping[str, Any], key: bytes) -> bytes:
    """HMAC-SHA256 over what identifies."""
    return hmac.digest(key, _packed([row[name] for name in IDENTIFYING]), "sha256")


def hash_of(before: bytes, row: Mapping[str, Any], *, seq: int, key_id: UUID, commitment: bytes) -> bytes:
    """SHA-256 over the hash before, everything that names nobody, and the commitment."""
    plain = [row[name] for name in PLAIN]
    return hashlib.sha256(before + _packed([seq, str(key_id), *plain]) + commitment).digest()


def _packed(values: list[Any]) -> bytes:
    return orjson.dumps([_plain(one) for one in values], option=orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> Any:
    """A value in the one form that counts: times as microseconds, ids as text."""
    if isinstance(value, datetime):
        return round(value.astimezone(UTC).timestamp() * 1_000_000)
    return str(value) if isinstance(value, UUID) else value


def check_chain(rows: Iterable[Mapping[str, Any]], keys: Mapping[UUID, bytes | None], start: Head, chain: int, report: ChainReport) -> Head:
    """Check a chain's rows in order from `start`; adds the first fault. `keys`: None for a key that was destroyed.

    Rows carry their columns and `chain_seq, key_id, commitment, row_hash`.
    """
    head = start
    for row in rows:
        seq, row_id = row["chain_seq"], str(row["id"])
        report.rows += 1
        if seq != head.seq + 1:
            report.faults.append(Fault(chain, head.seq + 1, "missing", row_id))
            return head
        found = hash_of(head.hash, row, seq=seq, key_id=row["key_id"], commitment=row["commitment"])
        if found != row["row_hash"]:
            report.faults.append(Fault(chain, seq, "edited", row_id))
            return head
        what = _check_identity(row, keys)
        if what == "erased":
            report.erased += 1
        elif what is not None:
            report.faults.append(Fault(chain, seq, what, row_id))
            return head
        head = Head(seq, found)
    return head


def _check_identity(row: Mapping[str, Any], keys: Mapping[UUID, bytes | None]) -> str | None:
    """Whether what identifies is what was committed to, or was forgotten in the way that is provided for."""
    if row["key_id"] not in keys:
        return "identity_edited"
    key = keys[row["key_id"]]
    if key is None:
        return "erased" if all(row[name] is None for name in IDENTIFYING) else "identity_edited"
    return None if hmac.compare_digest(commitment_of(row, key), row["commitment"]) else "identity_edited"


def check_ends(heads: Mapping[int, Head], expected: Mapping[int, Head], report: ChainReport, what: str = "cut_off") -> None:
    """Chains that end before where they are known to have stood: somebody cut them off."""
    for chain, known in sorted(expected.items()):
        if heads.get(chain, Head()).seq < known.seq:
            report.faults.append(Fault(chain, heads.get(chain, Head()).seq + 1, what))
