"""What platforms really have: every document is read back and compared with the ledger; what differs can be written again."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from services.carepatron_writer.core import repaired
from services.carepatron_writer.platforms.port import PRIORITY, Platform, Priority, ReadBack
from services.carepatron_writer.reviews import Sender
from shared.events import write_headers
from shared.postgres import guarded, load_queries
from shared.sync_requests import SyncRequest, sync_event
from shared.topics import SYNC_REQUESTED

SQL = load_queries("services.carepatron_writer")
PATIENTS_AT_ONCE = 8

# what differs, and whether writing it again is ours to do
REPAIRED = {
    "client_missing": True,  # the platform does not know the client any more
    "missing": True,  # the document is not there
    "stale": True,  # an older version is there
    "different": True,  # other bytes are there under the same version
    "not_withdrawn": True,  # taken back by its source, still shown
    "withdrawn_there": False,  # the clinic took it back: theirs to say
    "ahead": False,  # a newer version than ours: somebody else writes there
    "extra": False,  # carries our reference, and we know nothing of it
}


@dataclass(frozen=True, slots=True)
class Scope:
    """What to read back. Empty fields do not narrow; times are those of the last write."""

    destination_id: str | None = None
    patient_key: str | None = None
    provider_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be; ids and versions only."""

    destination_id: str
    patient_key: str
    document_id: str | None
    what: str
    expected: str | None = None
    found: str | None = None
    revision: int = 0


@dataclass(slots=True)
class PlatformReport:
    """What was read back."""

    patients: int = 0
    documents: int = 0
    differences: list[Difference] = field(default_factory=list)
    repaired: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


async def verify_platform(pool: Any, platforms: Mapping[str, Platform], scope: Scope) -> PlatformReport:
    """Read everything back in the scope. Raises Unavailable; changes nothing anywhere."""
    async with guarded():
        rows = await pool.fetch(
            SQL["read_written_patients"], scope.destination_id, scope.patient_key, scope.provider_id, scope.since, scope.until
        )
    report = PlatformReport(patients=len(rows))
    room = asyncio.Semaphore(PATIENTS_AT_ONCE)

    async def check(destination_id: str, patient_key: str) -> list[Difference]:
        PRIORITY.set(Priority.REPLAYED)
        async with room:
            async with guarded():
                links = await pool.fetch(SQL["read_patient_links"], destination_id, patient_key)
            report.documents += sum(_is_written(one) for one in links)
            return await compare_patient(platforms[destination_id], destination_id, patient_key, links)

    known = [(row["destination_id"], str(row["patient_key"])) for row in rows if row["destination_id"] in platforms]
    for found in await asyncio.gather(*(check(*one) for one in known)):
        report.differences += found
    report.differences = await _without_known(pool, report.differences)
    return report


async def _without_known(pool: Any, differences: list[Difference]) -> list[Difference]:
    """Two of our records may be one client: what the other one brought is not extra."""
    extra = [one for one in differences if one.what == "extra"]
    known: set[tuple[str, str]] = set()
    for destination_id in {one.destination_id for one in extra}:
        ids = [key for one in extra if one.destination_id == destination_id and (key := _uuid(one.document_id))]
        async with guarded():
            rows = await pool.fetch(SQL["find_known_documents"], destination_id, ids)
        known |= {(destination_id, str(row["our_id"])) for row in rows}
    return [one for one in differences if one.what != "extra" or (one.destination_id, one.document_id) not in known]


def _uuid(text: str | None) -> str | None:
    try:
        return str(UUID(text or ""))
    except ValueError:
        return None


async def compare_patient(
    platform: Platform, destination_id: str, patient_key: str, links: Sequence[Mapping[str, Any]]
) -> list[Difference]:
    """The differences of one patient, given the patient's rows of the ledger."""
    client = next((one["external_id"] for one in links if one["kind"] == "patient" and one["external_id"]), None)
    if client is None:
        return []
    if await platform.find_patient(patient_key) is None:
        return [Difference(destination_id, patient_key, None, "client_missing", client)]
    differences = []
    for one in links:
        if _is_written(one):
            found = await platform.read_back(client, str(one["our_id"]))
            what = difference_of(one, found)
            if what is not None:
                expected = repaired(one["source_version"], one["repairs"])
                said = None if found is None else found.version
                differences.append(Difference(destination_id, patient_key, str(one["our_id"]), what, expected, said, one["revision"]))
    ours = {str(one["our_id"]) for one in links if one["kind"] == "document"}
    for stored in await platform.list_documents(client):
        if stored.document_id is not None and stored.document_id not in ours:
            differences.append(Difference(destination_id, patient_key, stored.document_id, "extra", None, stored.version))
    return differences


def difference_of(link: Mapping[str, Any], found: ReadBack | None) -> str | None:
    """What is wrong with what was read back, None when nothing is (pure)."""
    is_withdrawn = link["state"] == "withdrawn"
    if found is None:
        return None if is_withdrawn else "missing"
    if is_withdrawn:
        return None if found.is_withdrawn else "not_withdrawn"
    expected = repaired(link["source_version"], link["repairs"])
    if found.version != expected:
        return "stale" if found.version < expected else "ahead"
    if link["content_sha256"] is not None and found.sha256 != link["content_sha256"]:
        return "different"
    return "withdrawn_there" if found.is_withdrawn else None


async def repair(pool: Any, report: PlatformReport, sender: Sender) -> None:
    """Have what differs written again, by the services and in their order; the log shows it under the requests' ids."""
    requests: list[SyncRequest] = []
    for one in report.differences:
        if not REPAIRED[one.what]:
            continue
        if one.document_id is None:
            async with guarded():
                await pool.execute(SQL["loosen_links"], one.destination_id, one.patient_key, None)
            requests.append(SyncRequest(patient_key=one.patient_key))
            continue
        async with guarded():
            is_ours = await pool.fetchval(
                SQL["loosen_document"], one.destination_id, one.document_id, one.revision, int(one.what == "different")
            )
        if is_ours:  # else the writer has just written it
            requests.append(SyncRequest(patient_key=one.patient_key, document_id=one.document_id))
    events = [(request, sync_event(request)) for request in requests]
    await sender.send_all(
        [(SYNC_REQUESTED.name, (request.patient_key or "").encode(), event.data, write_headers(event)) for request, event in events]
    )
    report.repaired = len(requests)


def _is_written(link: Mapping[str, Any]) -> bool:
    return link["kind"] == "document" and link["state"] in ("applied", "withdrawn")
