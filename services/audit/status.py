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
from shared.topics import DESK_GROUP, QUARANTINED

SERVICES = {"ingest": "INGEST", "normalizer": "NORMALIZER", "writer": "CAREPATRON_WRITER", "audit": "AUDIT"}
ASK_SECONDS = 3.0


async def read_status(database_url: str, bootstrap: list[str], environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Everything at once. What is away is named under `unavailable`; its part is None."""
    async with httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=False) as client:
        services, lag, store = await asyncio.gather(
            asyncio.gather(*(ask_ready(client, name, environ.get(f"{prefix}_HTTP_PORT")) for name, prefix in SERVICES.items())),
            _or_error(read_lag(bootstrap)),
            _or_error(read_store(database_url)),
        )
    away = [str(one) for one in (lag, store) if isinstance(one, Unavailable)]
    return {
        "services": services,
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


async def read_lag(bootstrap: list[str]) -> list[dict[str, Any]]:
    """Records between what each group has committed and the end, by group and topic."""
    groups = {**GROUP_OF, **OUTCOME_GROUP, QUARANTINED.name: DESK_GROUP}
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
