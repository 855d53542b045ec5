"""Patients who hold up their lane: when a platform keeps failing for one while it works for others, that one is parked."""

import time
from collections.abc import Callable
from typing import Any

from services.carepatron_writer.reviews import NotPossible, Sender
from shared.errors import Unavailable
from shared.events import write_headers
from shared.postgres import guarded, load_queries
from shared.sync_requests import SyncRequest, sync_event
from shared.topics import SYNC_REQUESTED

SQL = load_queries("services.carepatron_writer")
MOST = 500
MOST_WATCHED = 10_000  # patients failing at once; beyond that the platform is down, whatever it says


class Watch:
    """Who fails since when, and when each destination last worked. Pure but for the clock."""

    def __init__(self, *, after_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._after = after_seconds
        self._clock = clock
        self._failing: dict[tuple[str, str], float] = {}
        self._worked: dict[str, float] = {}

    def succeed(self, destination_id: str, patient_key: str) -> None:
        """Something came through."""
        self._worked[destination_id] = self._clock()
        self._failing.pop((destination_id, patient_key), None)

    def fail(self, destination_id: str, patient_key: str, outage: Unavailable) -> bool:
        """True when this patient is to be parked: failing for long, and only they."""
        if outage.target != destination_id or outage.is_target_down:
            return False
        now = self._clock()
        if len(self._failing) >= MOST_WATCHED:
            self._failing.clear()
        first = self._failing.setdefault((destination_id, patient_key), now)
        if now - first < self._after or self._worked.get(destination_id, first) <= first:
            return False
        del self._failing[destination_id, patient_key]
        return True


async def list_parked(pool: Any) -> list[dict[str, Any]]:
    """Who is parked. Raises Unavailable."""
    async with guarded():
        rows = await pool.fetch(SQL["list_parked"], MOST)
    return [{**dict(row), "patient_key": str(row["patient_key"])} for row in rows]


async def release(pool: Any, sender: Sender, destination_id: str, patient_key: str) -> None:
    """Try again: what was received for the patient is sent again in its order. Raises NotPossible, Unavailable."""
    event = sync_event(SyncRequest(patient_key=patient_key))
    async with guarded(), pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval(SQL["release_patient"], destination_id, patient_key):
            raise NotPossible("not_parked", "This patient is not parked there.")
        await sender.send_all([(SYNC_REQUESTED.name, patient_key.encode(), event.data, write_headers(event))])
