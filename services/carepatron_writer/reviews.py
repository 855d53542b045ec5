"""Questions about who is who on a platform, put to a person: `link` to a client, `create` a new one, or `leave` the patient out.

Order of steps of a decision: mark the review as moving (the writer keeps off), take away from a client that was the wrong one what was
written there, loosen the links, ask for a resync, keep the decision. A crash in between leaves it moving: the same decision again ends it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from services.carepatron_writer.core import repaired
from services.carepatron_writer.platforms.port import Parked, Platform, Rejected
from shared.errors import Unavailable
from shared.events import write_headers
from shared.postgres import guarded, load_queries
from shared.sync_requests import SyncRequest, sync_event
from shared.topics import SYNC_REQUESTED

SQL = load_queries("services.carepatron_writer")
Choice = Literal["link", "create", "leave"]
MOST = 500


class Sender(Protocol):
    """Writes to topics and waits for the broker."""

    async def send_all(self, items: Sequence[tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]) -> list[str]:
        """Coordinates in input order; raises Unavailable."""


class NotPossible(Exception):
    """A decision that cannot be carried out; `code` is stable, the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Past:
    """A decision that was made."""

    decision: str
    external_id: str | None
    decided_by: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """A patient, the clients who may be that patient, and what was decided. Ids and names of fields only."""

    destination_id: str
    patient_key: str
    clinic_id: str | None
    state: str
    candidates: list[dict[str, Any]]
    external_id: str | None
    asked_at: datetime
    documents_waiting: int
    decisions: tuple[Past, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


class Reviews:
    """Reviews in PostgreSQL, and carrying decisions out. Raises Unavailable."""

    def __init__(self, pool: Any, platforms: Mapping[str, Platform], sender: Sender | None) -> None:
        self._pool = pool
        self._platforms = platforms
        self._sender = sender

    async def list(self, *, state: str | None = None, patient_key: str | None = None, destination_id: str | None = None) -> list[Review]:
        """Open questions first, at most 500."""
        async with guarded():
            rows = await self._pool.fetch(SQL["list_reviews"], state, patient_key, destination_id, MOST)
        return [_review(row) for row in rows]

    async def get(self, destination_id: str, patient_key: str) -> Review | None:
        """One review with everything that was decided before."""
        async with guarded():
            rows = await self._pool.fetch(SQL["list_reviews"], None, patient_key, destination_id, 1)
            past = await self._pool.fetch(SQL["list_decisions"], destination_id, patient_key)
        return _review(rows[0], tuple(Past(**dict(one)) for one in past)) if rows else None

    async def decide(self, destination_id: str, patient_key: str, choice: Choice, external_id: str | None, decided_by: str) -> Review:
        """Carry a decision out, also in place of an earlier one. Raises NotPossible."""
        review = await self.get(destination_id, patient_key)
        if review is None:
            raise NotPossible("no_review", "There is no question about this patient there.")
        if (choice == "link") != bool(external_id):
            raise NotPossible("client_needed", "Linking names one client; creating and leaving name none.")
        if choice == "link" and external_id not in {one["external_id"] for one in review.candidates}:
            raise NotPossible("not_a_candidate", "This client is none of those who were compared.")
        if destination_id not in self._platforms:
            raise NotPossible("no_account", "No account is configured for this destination.")
        async with guarded():
            is_ours = await self._pool.fetchval(SQL["begin_decision"], destination_id, patient_key, review.state)
        if not is_ours:
            raise NotPossible("changed_meanwhile", "Somebody else is deciding about this patient.")
        await self._detach(destination_id, patient_key, external_id)
        async with guarded():
            await self._pool.execute(SQL["loosen_links"], destination_id, patient_key, external_id)
        if self._sender is not None:
            event = sync_event(SyncRequest(patient_key=patient_key))
            await self._sender.send_all([(SYNC_REQUESTED.name, patient_key.encode(), event.data, write_headers(event))])
        async with guarded(), self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["keep_decision"], destination_id, patient_key, choice, external_id, decided_by)
            await connection.execute(SQL["end_decision"], destination_id, patient_key, choice, external_id)
        return await self.get(destination_id, patient_key) or review

    async def _detach(self, destination_id: str, patient_key: str, wanted: str | None) -> None:
        """Take back what stands at a client that is not the one wanted now: documents are withdrawn, never deleted."""
        async with guarded():
            links = await self._pool.fetch(SQL["read_patient_links"], destination_id, patient_key)
        client = next((one["external_id"] for one in links if one["kind"] == "patient"), None)
        if client is None or client == wanted:
            return
        platform = self._platforms[destination_id]
        for one in links:
            if one["kind"] == "document" and one["external_id"]:
                version = repaired(one["source_version"], one["repairs"])
                answer = await platform.withdraw_document(client, str(one["our_id"]), version)
                if isinstance(answer, (Rejected, Parked)):
                    raise Unavailable(destination_id, f"a document cannot be taken back: {answer.reason}")
        answer = await platform.detach_patient(client, patient_key)
        if isinstance(answer, (Rejected, Parked)):
            raise Unavailable(destination_id, f"the client cannot be changed: {answer.reason}")


def _review(row: Any, decisions: tuple[Past, ...] = ()) -> Review:
    return Review(
        row["destination_id"],
        str(row["patient_key"]),
        row["clinic_id"],
        row["state"],
        row["candidates"],
        row["external_id"],
        row["asked_at"],
        row["documents_waiting"],
        decisions,
    )
