"""Rows into the log: those not yet known, chained in their order, by COPY, inside the transaction that moves the position."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from services.audit.chain import GENESIS, HOUSE_KEY, commitment_of, hash_of
from services.audit.core import LogRow
from shared.errors import Unavailable
from shared.postgres import load_queries

SQL = load_queries("services.audit")
TABLE = "synchronization_log"
CHAINED = ("recorded_at", "chain", "chain_seq", "key_id", "commitment", "row_hash")
KEY_TRIES = 3  # another chain may be making the same patient's key

Key = tuple[UUID, bytes]


class Appender:
    """Appends to the log; remembers which months have their piece."""

    def __init__(self) -> None:
        self._months: set[tuple[int, int]] = set()
        self._house: Key | None = None

    async def append(self, connection: Any, chain: int, rows: Sequence[LogRow], *, now: datetime | None = None) -> int:
        """Rows that the log does not have yet; gives back how many. Call it inside a transaction that keeps others off the chain."""
        if not rows:
            return 0
        head = await connection.fetchrow(SQL["read_head"], chain)
        moment = now or datetime.now(UTC)
        recorded_at = max(moment, head["recorded_at"]) if head else moment  # a clock that was set back does not disturb the months
        claimed = await connection.fetch(SQL["claim_ids"], [row["id"] for row in rows], recorded_at)
        fresh_ids = {row["id"] for row in claimed}
        fresh: list[LogRow] = []
        for row in rows:
            if row["id"] in fresh_ids:
                fresh_ids.remove(row["id"])  # the same outcome twice in one batch
                fresh.append(row)
        if not fresh:
            return 0
        await self._ensure_month(connection, recorded_at)
        keys = await self._keys_of(connection, {row["patient_id"] for row in fresh if row["patient_id"]})
        seq, hash = (head["seq"], head["hash"]) if head else (0, GENESIS)
        records = []
        for row in fresh:
            seq += 1
            key_id, key = keys[row["patient_id"]]
            commitment = commitment_of(row, key)
            hash = hash_of(hash, row, seq=seq, key_id=key_id, commitment=commitment)
            records.append((*row.values(), recorded_at, chain, seq, key_id, commitment, hash))
        columns = [*fresh[0], *CHAINED]
        await connection.copy_records_to_table(TABLE, records=records, columns=columns)
        await connection.execute(SQL["move_head"], chain, seq, hash, recorded_at)
        return len(fresh)

    def forget(self) -> None:
        """After a transaction that failed: what was made in it is not there."""
        self._house = None
        self._months.clear()

    async def _ensure_month(self, connection: Any, moment: datetime) -> None:
        month = (moment.year, moment.month)
        if month not in self._months:
            await connection.execute(SQL["make_month"], moment.date().replace(day=1))
            self._months.add(month)

    async def _keys_of(self, connection: Any, patients: set[UUID]) -> dict[UUID | None, Key]:
        """The key for each patient, and the house's for rows without one. Read each time: one may have been destroyed."""
        if self._house is None:
            self._house = (HOUSE_KEY, await connection.fetchval(SQL["read_house_key"], HOUSE_KEY, secrets.token_bytes(32)))
        keys: dict[UUID | None, Key] = {None: self._house}
        missing = set(patients)
        for _ in range(KEY_TRIES):
            if not missing:
                return keys
            wanted = sorted(missing)
            made = [secrets.token_bytes(32) for _ in wanted]
            rows = await connection.fetch(SQL["read_keys"], wanted, [uuid4() for _ in wanted], made)
            keys |= {row["patient_id"]: (row["key_id"], row["key"]) for row in rows}
            missing -= {row["patient_id"] for row in rows}
        if missing:
            raise Unavailable("postgres", "keys are being made elsewhere")
        return keys
