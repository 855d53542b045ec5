"""Checking the chain: in the database, or offline from an export; against anchors that lie elsewhere."""

import base64
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.audit.chain import IDENTIFYING, PLAIN, ChainReport, Fault, Head, check_chain, check_ends, hash_of
from shared.errors import Misconfigured
from shared.postgres import guarded, load_queries

SQL = load_queries("services.audit")
BATCH = 5_000
FORMAT = "healthcare-records-log-1"
NONCE_BYTES = 12


async def check_log(pool: Any, anchors: Mapping[int, list[Head]] | None = None) -> ChainReport:
    """Check every chain of the database, and the anchors where there are some. Raises Unavailable."""
    report = ChainReport()
    async with guarded(), pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        heads = {row["chain"]: Head(row["seq"], row["hash"]) for row in await connection.fetch(SQL["read_heads"])}
        keys = {row["key_id"]: row["key"] for row in await connection.fetch(SQL["read_all_keys"])}
        report.unchained = await connection.fetchval(SQL["count_unchained"])
        starts = summarized(await connection.fetch(SQL["read_summaries"]), report)
        found: dict[int, Head] = dict(starts)
        for chain in sorted({*heads, *(anchors or {})}):
            watched = {one.seq: one.hash for one in (anchors or {}).get(chain, [])}
            head = starts.get(chain, Head())
            faults = len(report.faults)
            async for rows in _batches(connection, chain, head.seq):
                for row in rows:
                    if row["chain_seq"] in watched and watched[row["chain_seq"]] != row["row_hash"]:
                        report.faults.append(Fault(chain, row["chain_seq"], "anchor_differs", str(row["id"])))
                head = check_chain(rows, keys, head, chain, report)
                if len(report.faults) > faults:
                    break
            found[chain] = head
            report.heads[chain] = head
            if len(report.faults) == faults:
                known = {chain: max([heads.get(chain, Head()), *(anchors or {}).get(chain, [])], key=lambda one: one.seq)}
                check_ends(found, known, report)
    return report


async def _batches(connection: Any, chain: int, after: int) -> AsyncIterator[list[Any]]:
    rows: list[Any] = []
    async for row in connection.cursor(SQL["read_chained"], chain, after, prefetch=BATCH):
        rows.append(row)
        if len(rows) == BATCH:
            yield rows
            rows = []
    if rows:
        yield rows


def summarized(summaries: Iterable[Mapping[str, Any]], report: ChainReport) -> dict[int, Head]:
    """Where each chain goes on after what retention dropped; a summary whose signature is wrong is a fault."""
    heads: dict[int, Head] = {}
    for one in summaries:
        chain = one["chain"]
        try:
            Ed25519PublicKey.from_public_bytes(one["public_key"]).verify(one["signature"], summary_text(one))
        except (InvalidSignature, ValueError):
            report.faults.append(Fault(chain, one["first_seq"], "summary_edited"))
            continue
        if one["first_seq"] != heads.get(chain, Head()).seq + 1:
            report.faults.append(Fault(chain, heads.get(chain, Head()).seq + 1, "missing"))
        heads[chain] = Head(one["last_seq"], one["last_hash"])
    return heads


def summary_text(summary: Mapping[str, Any]) -> bytes:
    """What a summary's signature covers."""
    names = ("month", "chain", "first_seq", "last_seq", "rows_dropped")
    return orjson.dumps([str(summary[name]) for name in names] + [bytes(summary["last_hash"]).hex(), summary["dropped_at"].isoformat()])


# --- exports ---


async def export_log(pool: Any, file: BinaryIO) -> int:
    """Write the log so that its chain can be checked without the database; what identifies is sealed with each patient's key.

    NDJSON: a heading with the heads and summaries, then a line for each row. Gives back the rows written. Raises Unavailable.
    """
    written = 0
    async with guarded(), pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        heads = await connection.fetch(SQL["read_heads"])
        keys = {row["key_id"]: row["key"] for row in await connection.fetch(SQL["read_all_keys"])}
        summaries = [
            {**dict(one), **{name: one[name].hex() for name in ("last_hash", "signature", "public_key")}}
            for one in await connection.fetch(SQL["read_summaries"])
        ]
        heading = {
            "format": FORMAT,
            "exported_at": datetime.now(UTC),
            "heads": [{"chain": one["chain"], "seq": one["seq"], "hash": one["hash"].hex()} for one in heads],
            "summaries": summaries,
        }
        file.write(orjson.dumps(heading, option=orjson.OPT_APPEND_NEWLINE, default=str))
        for one in heads:
            async for rows in _batches(connection, one["chain"], 0):
                for row in rows:
                    file.write(orjson.dumps(exported(row, keys.get(row["key_id"])), default=str, option=orjson.OPT_APPEND_NEWLINE))
                    written += 1
    return written


def exported(row: Mapping[str, Any], key: bytes | None) -> dict[str, Any]:
    """A row as it stands in an export."""
    plain = {name: row[name] for name in PLAIN}
    return {
        **plain,
        "chain": row["chain"],
        "chain_seq": row["chain_seq"],
        "key_id": str(row["key_id"]),
        "commitment": row["commitment"].hex(),
        "row_hash": row["row_hash"].hex(),
        "sealed": None if key is None else _sealed(row, key),
    }


def _sealed(row: Mapping[str, Any], key: bytes) -> str:
    """What identifies, under the patient's key (AES-256-GCM): unreadable once the key is destroyed."""
    nonce = row["row_hash"][:NONCE_BYTES]  # different for each row, the same for each export of it
    said = orjson.dumps({name: row[name] for name in IDENTIFYING}, default=str)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, said, row["commitment"])).decode()


def check_export(lines: Iterable[bytes], anchors: Mapping[int, list[Head]] | None = None) -> ChainReport:
    """Check an export without the database. Raises Misconfigured when it is none."""
    source = iter(lines)
    try:
        heading = orjson.loads(next(source))
        if heading.get("format") != FORMAT:
            raise ValueError
        heads = {one["chain"]: Head(one["seq"], bytes.fromhex(one["hash"])) for one in heading["heads"]}
        summaries = [_summary(one) for one in heading["summaries"]]
    except (StopIteration, ValueError, KeyError, TypeError, AttributeError):
        raise Misconfigured("this is no export of the log") from None
    report = ChainReport()
    found = summarized(summaries, report)
    for chain, row in _exported_rows(source, report):
        head = found.get(chain, Head())
        if any(one.chain == chain for one in report.faults):
            continue
        report.rows += 1
        watched = {one.seq: one.hash for one in (anchors or {}).get(chain, [])}
        seq, hash = row["chain_seq"], row["row_hash"]
        if seq != head.seq + 1:
            report.faults.append(Fault(chain, head.seq + 1, "missing", str(row["id"])))
        elif hash_of(head.hash, row, seq=seq, key_id=row["key_id"], commitment=row["commitment"]) != hash:
            report.faults.append(Fault(chain, seq, "edited", str(row["id"])))
        elif watched.get(seq, hash) != hash:
            report.faults.append(Fault(chain, seq, "anchor_differs", str(row["id"])))
        report.erased += row["sealed"] is None
        found[chain] = Head(seq, hash)
    report.heads = found
    for chain in {*heads, *(anchors or {})}:
        if not any(one.chain == chain for one in report.faults):
            known = max([heads.get(chain, Head()), *(anchors or {}).get(chain, [])], key=lambda one: one.seq)
            check_ends(found, {chain: known}, report)
    return report


def _exported_rows(lines: Iterator[bytes], report: ChainReport) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=2):
        try:
            row = orjson.loads(line)
            row["timestamp"] = datetime.fromisoformat(row["timestamp"])
            row["key_id"] = UUID(row["key_id"])
            row |= {name: bytes.fromhex(row[name]) for name in ("commitment", "row_hash")}
            chain = int(row["chain"])
            if not all(name in row for name in PLAIN):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            report.faults.append(Fault(-1, number, "unreadable_line"))
            continue
        yield chain, row


def _summary(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **one,
        **{name: bytes.fromhex(one[name]) for name in ("last_hash", "signature", "public_key")},
        "dropped_at": datetime.fromisoformat(one["dropped_at"]),
    }


def read_anchors(file: Path) -> dict[int, list[Head]]:
    """What was anchored, by chain. Raises Misconfigured when the file cannot be read."""
    anchors: dict[int, list[Head]] = {}
    try:
        for line in file.read_bytes().splitlines():
            for one in orjson.loads(line)["heads"]:
                anchors.setdefault(one["chain"], []).append(Head(one["seq"], bytes.fromhex(one["hash"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Misconfigured(f"{file}: {type(error).__name__}: these are no anchors") from error
    return anchors
