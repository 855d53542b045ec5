"""Fakes of what ingest needs; each can be told to fail."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.ingest.core import Part
from services.ingest.digests import Claim, Holder
from services.ingest.handlers import receive_documents
from services.ingest.passing_on import Ports
from services.ingest.settings import Settings
from shared.canonical.reading import ProviderProfile
from shared.delivery import Record
from shared.errors import Unavailable
from shared.events import Event, EventType, read_event, write_headers
from shared.identity import digest
from shared.outcomes import Outcomes, Reason, Rejected
from shared.testing import MemoryContentStore

SEPARATOR = b"\n---\n"


class LineSplitter:
    """Splits at a separator; `patient:` and `document:` at the start of a part name its ids; `bad` is refused."""

    async def split(
        self, content: bytes, provider: ProviderProfile, media_type: str | None, patient_key: str | None
    ) -> list[Part] | Rejected:
        if content == b"bad":
            return Rejected(Reason.UNKNOWN_FORMAT)
        return [
            Part(number, piece, "text", _named(piece, b"patient:") or patient_key, _named(piece, b"document:"), None, None, digest(piece))
            for number, piece in enumerate(content.split(SEPARATOR))
        ]


def _named(piece: bytes, mark: bytes) -> str | None:
    _, found, rest = piece.partition(mark)
    return rest.split()[0].decode() if found else None


@dataclass
class MemoryDigests:
    """The table in memory; `age_seconds` is the age of every claim of another record."""

    rows: dict[tuple[str, str, str], Holder] = field(default_factory=dict)
    fail_remember: int = 0
    fail_claim: int = 0
    age_seconds: float = 0.0

    async def claim(self, claim: Claim) -> Holder:
        if self.fail_claim:
            self.fail_claim -= 1
            raise Unavailable("postgres")
        found = self.rows.setdefault(claim.key, Holder(claim.origin, claim.part, None, 0.0))
        return Holder(found.origin, found.part, found.received, self.age_seconds)

    async def take_over(self, claim: Claim, holder: Holder) -> bool:
        found = self.rows[claim.key]
        if (found.origin, found.part, found.received) != (holder.origin, holder.part, None):
            return False
        self.rows[claim.key] = Holder(claim.origin, claim.part, None, 0.0)
        return True

    async def remember(self, claim: Claim, received: str) -> None:
        await asyncio.sleep(0)
        if self.fail_remember:
            self.fail_remember -= 1
            raise Unavailable("postgres")
        found = self.rows[claim.key]
        if (found.origin, found.part, found.received) == (claim.origin, claim.part, None):
            self.rows[claim.key] = Holder(claim.origin, claim.part, received, 0.0)


@dataclass
class MemorySender:
    """Keeps what is sent; `fail` sends are refused before and `lose` ones after they were written."""

    sent: list[tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]] = field(default_factory=list)
    fail: int = 0
    lose: int = 0
    before: Callable[[], Awaitable[None]] | None = None

    async def send_all(self, items: Sequence[Any]) -> list[str]:
        if self.before:
            await self.before()
        if self.fail:
            self.fail -= 1
            raise Unavailable("kafka", "down")
        first = len(self.sent)
        self.sent.extend(items)
        if self.lose:
            self.lose -= 1
            raise Unavailable("kafka", "acknowledgement lost")
        return [f"{item[0]}/0/{first + number}" for number, item in enumerate(items)]

    async def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> str:
        return (await self.send_all([(topic, key, value, headers)]))[0]

    @property
    def events(self) -> list[Event]:
        """What was sent, read again."""
        return [read_event(item[3], item[2], default_type="", fallback_id="") for item in self.sent]


class World:
    """An ingest handler among fakes."""

    def __init__(self, **settings: Any) -> None:
        self.digests = MemoryDigests()
        self.sender = MemorySender()
        self.contents = MemoryContentStore()
        self.settings = Settings(**settings)
        self.handler = receive_documents(Ports(LineSplitter(), self.digests, self.sender, self.contents, ProviderProfile), self.settings)

    def handle(self, *records: Record) -> list[Outcomes]:
        """Outcomes of records handled one after the other."""

        async def run() -> list[Outcomes]:
            return [await self.handler(one) for one in records]

        return asyncio.run(run())


def published(content: bytes | None, offset: int = 0, **attributes: Any) -> Record:
    """A published record."""
    given = {"id": f"event-{offset}", "providerid": "lab-1", **attributes}
    event = Event(type=EventType.DOCUMENT_PUBLISHED, data=content or b"", **given)
    return Record("document.published.v1", 0, offset, None, content, tuple(write_headers(event)), 0)
