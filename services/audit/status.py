"""How the system stands: services, lag, counts, the desk. What `healthcare-records status` shows."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import httpx

from services.audit.kafka_reading import read_spans
from services.audit.log_query import SQL
from services.audit.verification import GROUP_OF, OUTCOME_GROUP
from shared.errors import Unavailable
from shared.postgres import guarded, open_pool
from shared.topics import DESK_GROUP, QUARANTINED, SYNC_GROUP, SYNC_REQUESTED, WRITER_GROUP

SERVICES = {"ingest": "INGEST", "normalizer": "NORMALIZER", "writer": "CAREPATRON_WRITER", "audit": "AUDIT"}
ASK_SECONDS = 3.0


async def read_status(database_url: str, bootstrap: list[str], environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Everything at once. What is away is named under `unavailable`; its part is None."""
    async with httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=False) as client:
        services, limits, lag, store = await asyncio.gather(
            asyncio.gather(*(ask_ready(client, name, environ.get(f"{prefix}_HTTP_PORT")) for name, prefix in SERVICES.items())),
            ask_limits(client, environ.get("CAREPATRON_WRITER_HTTP_PORT")),
            _or_error(read_lag(bootstrap)),
            _or_error(read_store(database_url)),
        )
    away = [str(one) for one in (lag, store) if isinstance(one, Unavailable)]
    return {
        "services": services,
        "platforms": with_eta(limits, [] if isinstance(lag, Unavailable) else lag),
        "lag": None if isinstance(lag, Unavailable) else lag,
        "counts": None if isinstance(store, Unavailable) else store["counts"],
        "open_quarantine": None if isinstance(store, Unavailable) else store["open_quarantine"],
        "unavailable": away,
    }


async def ask_ready(client: httpx.AsyncClient, name: str, port: str | None) -> dict[str, Any]:
    """Ask a service on this machine whether it is ready; without a port it is not known."""
    if not port or not port.isdigit() or port == "0":
        return {"service": name, "state": "unknown", "waiting_for": []}
    try:
        answer = await client.get(f"http://127.0.0.1:{port}/readyz")
        waiting = [str(one) for one in answer.json().get("waiting_for", [])]
    except (httpx.HTTPError, ValueError, AttributeError, TypeError):
        return {"service": name, "state": "down", "waiting_for": []}
    return {"service": name, "state": "ready" if answer.status_code == httpx.codes.OK else "not ready", "waiting_for": waiting}


async def ask_limits(client: httpx.AsyncClient, port: str | None) -> list[dict[str, Any]]:
    """What the writer says about the limits of each destination; nothing when it does not answer."""
    if not port or not port.isdigit() or port == "0":
        return []
    try:
        answer = await client.get(f"http://127.0.0.1:{port}/v1/limits")
        return [one for one in answer.json()["items"] if isinstance(one, dict)] if answer.status_code == httpx.codes.OK else []
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return []


def with_eta(limits: list[dict[str, Any]], lag: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How long what waits for the writer takes under each destination's limits, as if all of it were for that one (pure)."""
    waiting = sum(one["lag"] for one in lag if one["group"] == WRITER_GROUP)
    shown = []
    for one in limits:
        rate = one.get("writes_per_second")
        eta = round(waiting / rate + one.get("paused_seconds", 0)) if rate else None
        shown.append({**one, "waiting": waiting, "eta_seconds": eta})
    return shown


async def read_lag(bootstrap: list[str]) -> list[dict[str, Any]]:
    """Records between what each group has committed and the end, by group and topic."""
    groups = {**GROUP_OF, **OUTCOME_GROUP, QUARANTINED.name: DESK_GROUP, SYNC_REQUESTED.name: SYNC_GROUP}
    found: dict[str, int] = {}
    for span in await read_spans(bootstrap, groups):
        found[span.topic] = found.get(span.topic, 0) + span.end - max(span.done, span.begin)
    return [{"group": groups[topic], "topic": topic, "lag": found[topic]} for topic in groups if topic in found]


async def read_store(database_url: str) -> dict[str, Any]:
    """Counts from the log and the desk."""
    pool = await open_pool(database_url, application_name="healthcare-records-status", max_size=1)
    try:
        async with guarded():
            counts = [dict(row) for row in await pool.fetch(SQL["count_statuses"])]
            return {"counts": counts, "open_quarantine": await pool.fetchval(SQL["count_open_quarantine"])}
    finally:
        await pool.close()


async def _or_error(reading: Any) -> Any:
    """The result, or the outage as a value."""
    try:
        return await reading
    except Unavailable as error:
        return error
