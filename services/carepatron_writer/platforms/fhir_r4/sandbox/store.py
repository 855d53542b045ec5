"""What the server holds: every version of every resource, and a list of what was done to it."""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from services.carepatron_writer.platforms.fhir_r4.sandbox.switches import Switches

Json = dict[str, Any]


@dataclass
class Store:
    """Versions by kind and id, the newest last."""

    now: Callable[[], str]
    held: dict[str, dict[str, list[Json]]] = field(default_factory=dict)
    effects: list[tuple[str, str, str]] = field(default_factory=list)  # what was done, kind, id
    pending: list[tuple[Json, str | None, int]] = field(default_factory=list)  # mediated: body, id, searches to go
    _next: int = 1000

    def newest(self, kind: str, found_id: str) -> Json | None:
        """The version that counts."""
        versions = self.held.get(kind, {}).get(found_id)
        return versions[-1] if versions else None

    def all(self, kind: str, *, is_lagging: bool = False) -> list[Json]:
        """One version of each: the newest, or the one before it."""
        return [versions[-2] if is_lagging and len(versions) > 1 else versions[-1] for versions in self.held.get(kind, {}).values()]

    def put(self, kind: str, body: Json, switches: Switches, found_id: str | None = None) -> Json:
        """A version more, of a new resource when there is no id."""
        if found_id is None:
            found_id, self._next = str(self._next), self._next + 1
        versions = self.held.setdefault(kind, {}).setdefault(found_id, [])
        number = uuid.uuid4().hex if switches.opaque_versions else str(len(versions) + 1)
        meta = {**(body.get("meta") or {}), "lastUpdated": self.now()}
        if switches.versioning:
            meta["versionId"] = number
        earlier = (versions[-1].get("meta") or {}).get("tag", []) if versions else []
        tags = [*earlier, *(one for one in meta.get("tag", []) if one not in earlier)]  # tags are added, never replaced
        kept = {**_as_kept(body, switches), "id": found_id, "meta": {**meta, **({"tag": tags} if tags else {})}}
        self.effects.append(("updated" if versions else "created", kind, found_id))
        versions.append(kept)
        return kept

    def remove(self, kind: str, found_id: str) -> None:
        """Gone, as when the clinic deletes it."""
        del self.held[kind][found_id]

    def snapshot(self) -> Any:
        """For a transaction that fails half way."""
        return {kind: {key: list(one) for key, one in rows.items()} for kind, rows in self.held.items()}, list(self.effects)

    def restore(self, snapshot: Any) -> None:
        """Nothing of it happened."""
        self.held, self.effects = snapshot

    def count_search(self, switches: Switches) -> None:
        """A search more: what was accepted for mediation comes nearer."""
        due = [one for one in self.pending if one[2] <= 0]
        self.pending = [(body, found_id, left - 1) for body, found_id, left in self.pending if left > 0]
        for body, found_id, _ in due:
            self.put(str(body["resourceType"]), body, switches, found_id)


def _as_kept(body: Json, switches: Switches) -> Json:
    kept = dict(body)
    if not switches.keeps_relations:
        kept.pop("relatesTo", None)
    return without_extensions(kept) if not switches.keeps_extensions else kept


def without_extensions(value: Any) -> Any:
    """The value without extensions at any depth; what was nothing else is gone too."""
    if isinstance(value, dict):
        kept = {name: without_extensions(one) for name, one in value.items() if name != "extension"}
        return {name: one for name, one in kept.items() if one not in ({}, [])}
    if isinstance(value, list):
        return [without_extensions(one) for one in value]
    return value


def referenced(value: Any) -> Iterable[str]:
    """All literal references and links in a resource."""
    if isinstance(value, dict):
        for name, one in value.items():
            if name in ("reference", "url", "valueUri") and isinstance(one, str):
                yield one
            else:
                yield from referenced(one)
    elif isinstance(value, list):
        for one in value:
            yield from referenced(one)
