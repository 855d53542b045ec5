"""Runs the core where it cannot hold up the service: small content on the spot, large content in a process of its own."""

from typing import Protocol

from services.ingest.core import Part, take_in
from services.ingest.settings import Settings
from shared.canonical.reading import ProviderProfile
from shared.isolation import Isolated, Stopped
from shared.logs import get_logger
from shared.outcomes import Reason, Rejected

logger = get_logger(__name__)

Taken = list[Part] | Rejected


class Splitter(Protocol):
    """From bytes to parts without holding up the event loop."""

    async def split(self, content: bytes, provider: ProviderProfile, media_type: str | None, patient_key: str | None) -> Taken: ...


class GuardedSplitter:
    """The core behind two walls: time and memory. Content that breaks one of them is refused; the next one gets a new process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._isolated: Isolated[Taken] = Isolated(take_in_apart, seconds=settings.split_seconds, memory_bytes=settings.split_memory_bytes)

    async def split(self, content: bytes, provider: ProviderProfile, media_type: str | None, patient_key: str | None) -> Taken:
        """The parts, or why there are none; what splitting needs too long for, or dies of, is a refusal."""
        max_parts = self._settings.max_parts
        if len(content) <= self._settings.inline_bytes:
            return take_in_apart(content, provider, media_type, patient_key, max_parts)
        try:
            return await self._isolated(content, provider, media_type, patient_key, max_parts)
        except Stopped as stop:
            logger.warning("splitting_given_up", size=len(content), why=str(stop))
            return Rejected(Reason.PARSE_TIMEOUT)

    async def aclose(self) -> None:
        """End the process."""
        await self._isolated.aclose()


def take_in_apart(content: bytes, provider: ProviderProfile, media_type: str | None, patient_key: str | None, max_parts: int) -> Taken:
    """`take_in` with plain arguments, as they travel to the process."""
    return take_in(content, provider=provider, media_type=media_type, patient_key=patient_key, max_parts=max_parts)
