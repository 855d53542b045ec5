"""Anchors of the chain, retention by months, and forgetting a patient."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.chain_checking import summary_text
from shared.errors import Misconfigured, Unavailable
from shared.logs import get_logger
from shared.postgres import guarded, load_queries

SQL = load_queries("services.audit")
ANCHOR_SECONDS = 5.0
log = get_logger(__name__)


class Anchors:
    """Writes where the chains stand to a file, and to an address outside where one is set: who cuts the log off cannot change those."""

    def __init__(self, pool: Any, file: Path, *, url: str | None = None, interval_seconds: float = 300.0) -> None:
        self._pool = pool
        self._file = file
        self._url = url
        self._interval = interval_seconds
        self._last: bytes = b""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Anchor now and then."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Anchor once more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(Unavailable):
            await self.anchor()

    async def anchor(self) -> bool:
        """Write the heads when they have moved. Raises Unavailable while the database or the address is away."""
        async with guarded():
            rows = await self._pool.fetch(SQL["read_heads"])
        heads = orjson.dumps([{"chain": row["chain"], "seq": row["seq"], "hash": row["hash"].hex()} for row in rows])
        if heads == self._last or not rows:
            return False
        line = b'{"at":"%b","heads":%b}\n' % (datetime.now(UTC).isoformat(timespec="seconds").encode(), heads)
        await asyncio.to_thread(_append, self._file, line)
        if self._url:
            await _post(self._url, line)
        self._last = heads
        return True

    async def _run(self) -> None:
        while True:
            try:
                await self.anchor()
            except Unavailable as outage:
                log.warning("chain_not_anchored", target=outage.target, why=outage.why)
            except OSError as error:
                log.error("chain_not_anchored", target="file", why=type(error).__name__)
            await asyncio.sleep(self._interval)


def _append(file: Path, line: bytes) -> None:
    """Durably, readable for this account only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _post(url: str, line: bytes) -> None:
    try:
        async with httpx.AsyncClient(timeout=ANCHOR_SECONDS, follow_redirects=False, trust_env=False) as client:
            answer = await client.post(url, content=line, headers={"content-type": "application/json"})
    except httpx.HTTPError as error:
        raise Unavailable("anchor", type(error).__name__) from error
    if not answer.is_success:
        raise Unavailable("anchor", str(answer.status_code))


async def drop_months(
    pool: Any, before: date, key: Ed25519PrivateKey, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[date]:
    """Drop the months that ended before a day, each leaving a signed summary. Raises Unavailable."""
    dropped = []
    async with guarded():
        months = await pool.fetch(SQL["list_months"])
    for row in months:
        month: date = row["month"]
        end = date(month.year + month.month // 12, month.month % 12 + 1, 1)
        if end > before:
            break
        await _drop_month(pool, row["name"], month, end, key, now())
        dropped.append(month)
        log.info("month_dropped", month=str(month))
    return dropped


async def _drop_month(pool: Any, name: str, month: date, end: date, key: Ed25519PrivateKey, now: datetime) -> None:
    """Summary and drop in one transaction."""
    begins, ends = (datetime(one.year, one.month, 1, tzinfo=UTC) for one in (month, end))
    public = key.public_key().public_bytes_raw()
    async with guarded(), pool.acquire() as connection, connection.transaction():
        for one in await connection.fetch(SQL["summarize_month"], begins, ends):
            summary = {
                "month": month,
                "chain": one["chain"],
                "first_seq": one["first_seq"],
                "last_seq": one["last_seq"],
                "last_hash": one["last_hash"],
                "rows_dropped": one["rows"],
                "dropped_at": now,
            }
            await connection.execute(SQL["keep_summary"], *summary.values(), key.sign(summary_text(summary)), public)
        await connection.execute(SQL["drop_ids"], begins, ends)
        await connection.execute(f'DROP TABLE "{name}"')  # a name of ours: read from the catalogue


async def erase_patient(pool: Any, patient_id: str) -> int:
    """Forget a patient in the log and at the desk; gives back the rows concerned. Raises Unavailable."""
    async with guarded(), pool.acquire() as connection, connection.transaction():
        changed: int = await connection.fetchval(SQL["erase_patient"], patient_id)
    return changed


def signing_key(file: Path) -> Ed25519PrivateKey:
    """The key of summaries, made when there is none yet. Raises Misconfigured when it cannot be read."""
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as made:
                made.write(Ed25519PrivateKey.generate().private_bytes_raw())
        return Ed25519PrivateKey.from_private_bytes(file.read_bytes())
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{file}: {type(error).__name__}: the signing key cannot be read") from error
