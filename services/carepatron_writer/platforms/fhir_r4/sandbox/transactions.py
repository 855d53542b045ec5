"""Transactions: all or nothing, links between entries resolved, answers in the order of the entries (R4 http.html#transaction)."""

from typing import Any
from urllib.parse import unquote

from services.carepatron_writer.platforms.fhir_r4.sandbox.answers import Answer, Refused, entry_of
from services.carepatron_writer.platforms.fhir_r4.sandbox.rest import Rest
from services.carepatron_writer.platforms.fhir_r4.sandbox.rules import KINDS

Json = dict[str, Any]
WARNING = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "informational"}]}


async def transact(rest: Rest, bundle: Any) -> Json:
    """Carry a transaction out. Raises Refused; then nothing of it has happened."""
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction":
        raise Refused(400, where="Bundle.type")
    entries = bundle.get("entry") or []
    _check_identities(entries)
    snapshot = rest.store.snapshot()
    try:
        answers: list[Answer | None] = [None] * len(entries)
        names: dict[str, str] = {}
        for place in sorted(range(len(entries)), key=lambda one: _turn(entries[one])):  # Binaries first: others refer to them
            answers[place] = await _one(rest, entries[place], names)
    except Refused:
        rest.store.restore(snapshot)
        raise
    done = [one for one in answers if one is not None]
    return {"resourceType": "Bundle", "type": "transaction-response", "entry": [entry_of(one, WARNING) for one in done]}


async def _one(rest: Rest, entry: Json, names: dict[str, str]) -> Answer:
    request, resource = entry.get("request") or {}, _resolved(entry.get("resource") or {}, names)
    kind, _, found_id = str(request.get("url") or "").partition("/")
    if kind not in KINDS:
        raise Refused(400, where="Bundle.entry.request.url")
    if request.get("method") == "POST":
        criteria = request.get("ifNoneExist")
        answer = await rest.create(kind, resource, unquote(criteria) if criteria else None)
    elif request.get("method") == "PUT" and found_id:
        answer = rest.update(kind, found_id, resource, request.get("ifMatch"))
    else:
        raise Refused(405, where="Bundle.entry.request.method")
    if entry.get("fullUrl") and "Location" in answer.headers:
        names[entry["fullUrl"]] = "/".join(answer.headers["Location"].split("/")[:2])
    return answer


def _resolved(value: Any, names: dict[str, str]) -> Any:
    """The resource with links to other entries replaced by what these became."""
    if isinstance(value, dict):
        return {name: _resolved(one, names) for name, one in value.items()}
    if isinstance(value, list):
        return [_resolved(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value


def _turn(entry: Json) -> int:
    order = ("Binary", "DocumentReference", "List")
    kind = (entry.get("resource") or {}).get("resourceType")
    return order.index(kind) if kind in order else len(order)


def _check_identities(entries: list[Json]) -> None:
    """One identity twice in a transaction is refused; real servers silently drop one."""
    seen: set[tuple[str, str]] = set()
    for one in entries:
        request = one.get("request") or {}
        identity = str(request.get("ifNoneExist") or "") if request.get("method") == "POST" else str(request.get("url"))
        if identity and (str(request.get("method")), identity) in seen:
            raise Refused(400, where="Bundle.entry.request")
        seen.add((str(request.get("method")), identity))
