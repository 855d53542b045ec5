"""The history checker: what every run must show, whatever was killed, repeated or reordered (the rules of docs/architecture.md)."""

import asyncio
import json
from collections import Counter
from itertools import pairwise
from typing import Any

from shared.identity import parse_coordinates
from shared.kafka import read_range
from shared.outcomes import decode_outcome
from shared.topics import OUTCOMES
from tests.e2e.stack import Stack

WRITES = frozenset({"document-created", "document-updated", "document-version"})


def check(stack: Stack, ids: list[str]) -> dict[str, int]:
    """Assert every rule; returns what was counted, for the report of the run."""
    stack.settle_log()
    rows = stack.rows("SELECT * FROM synchronization_log")
    effects = stack.effects()
    outcomes = asyncio.run(_outcomes(stack))
    counted = {
        "accepted": len(ids),
        "rows": len(rows),
        "effects": len(effects),
        "lost": len(_lost(rows, ids)),
        "applied_twice": len(_applied_twice(effects)),
        "backwards": len(_backwards(effects)),
        "order_violations": len(_order_violations(rows, effects)),
        "repeated_outcomes": len(outcomes) - len(set(outcomes)),
        "restarts": stack.restarts,
    }
    assert counted["lost"] == 0, _lost(rows, ids)[:5]
    assert counted["applied_twice"] == 0, _applied_twice(effects)[:5]
    assert counted["backwards"] == 0, _backwards(effects)[:5]
    assert counted["order_violations"] == 0, _order_violations(rows, effects)[:5]
    assert {str(row["id"]) for row in rows} == set(outcomes)
    assert len(rows) == len(set(outcomes))
    return counted


def _lost(rows: list[dict[str, Any]], ids: list[str]) -> list[str]:
    """Accepted events that have no chain of rows to a terminal outcome."""
    places = {(row["topic"], row["partition"], row["offset"]) for row in rows}
    open_chains = {row["correlation_id"] for row in rows for place in row["passed_on"] if parse_coordinates(place) not in places}
    started = {row["correlation_id"] for row in rows if row["stage"] == "ingest"}
    ended = {row["correlation_id"] for row in rows if row["is_terminal"]}
    return [one for one in ids if one not in started or one not in ended or one in open_chains]


def _applied_twice(effects: list[dict[str, Any]]) -> list[Any]:
    """Versions of a document that changed the target more than once."""
    counts = Counter((one["externalId"], one["version"], one["kind"]) for one in effects if one["kind"].startswith("document"))
    return [key for key, count in counts.items() if count > 1]


def _backwards(effects: list[dict[str, Any]]) -> list[Any]:
    """Documents whose version fell."""
    seen: dict[str, list[str]] = {}
    for one in effects:
        if one["kind"].startswith("document"):
            seen.setdefault(one["externalId"], []).append(one["version"])
    return [key for key, versions in seen.items() if any(later < earlier for earlier, later in pairwise(versions))]


def _order_violations(rows: list[dict[str, Any]], effects: list[dict[str, Any]]) -> list[Any]:
    """Patients whose documents took effect in another order than that of the topic."""
    first_effect: dict[tuple[str, str], int] = {}
    for one in effects:
        first_effect.setdefault((one["externalId"], one["version"]), one["seq"])
    by_patient: dict[Any, list[tuple[int, int]]] = {}
    for row in rows:
        if row["stage"] == "carepatron_writer" and row["status"] in ("created", "updated") and row["action"] == "write_document":
            sequence = first_effect.get((str(row["document_id"]), row["source_version"]))
            if sequence is not None:
                by_patient.setdefault((row["patient_id"], row["partition"]), []).append((row["offset"], sequence))
    found = []
    for key, pairs in by_patient.items():
        sequences = [sequence for _, sequence in sorted(pairs)]
        if sequences != sorted(sequences):
            found.append((str(key), sequences))
    return found


async def _outcomes(stack: Stack) -> list[str]:
    """The ids of every outcome record on the topic, repetitions included."""
    return [decode_outcome(record.value or b"").id async for record in read_range([stack.bootstrap], OUTCOMES.name)]


def show(title: str, counted: dict[str, int]) -> None:
    """One line for the person who reads the test's output."""
    print(f"{title}: {json.dumps(counted)}")
