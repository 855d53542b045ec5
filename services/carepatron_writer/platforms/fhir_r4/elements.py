"""Small pieces of FHIR that patients and documents share: extensions of ours, narrative, references. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

Json = dict[str, Any]

XHTML = "http://www.w3.org/1999/xhtml"
MARK = "healthrecords"  # class of the narrative that we wrote: somebody else's is left alone
ID = re.compile(r"[A-Za-z0-9.-]{1,64}")  # R4 datatype id
_CODE = re.compile(r"[^\s]+(?: [^\s]+)*")  # R4 datatype code
_LOCAL = re.compile(r"(?:^|/)([A-Z][A-Za-z]{1,40})/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?$")


def pruned(value: Any) -> Any:
    """The value without what FHIR forbids: nulls, empty strings, empty lists and objects (R4 JSON: "properties are never empty")."""
    if isinstance(value, Mapping):
        kept = {name: pruned(one) for name, one in value.items()}
        return {name: one for name, one in kept.items() if not _is_empty(one)}
    if isinstance(value, list | tuple):
        return [one for one in map(pruned, value) if not _is_empty(one)]
    return value


def _is_empty(value: Any) -> bool:
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def extension(url: str, **value: Any) -> Json:
    """A simple extension: `extension("version", valueString="…")`."""
    return {"url": url, **value}


def extensions_of(holder: Mapping[str, Any], url: str) -> list[Json]:
    """The extensions with a URL, in order."""
    found = holder.get("extension")
    return [one for one in found if isinstance(one, dict) and one.get("url") == url] if isinstance(found, list) else []


def values_of(holder: Mapping[str, Any]) -> dict[str, Any]:
    """The simple extensions inside a complex one, by URL; the last of a URL counts."""
    values: dict[str, Any] = {}
    for one in holder.get("extension") or ():
        if isinstance(one, dict) and isinstance(one.get("url"), str):
            values[one["url"]] = next((value for name, value in one.items() if name.startswith("value")), None)
    return values


def with_extension(holder: Mapping[str, Any], url: str, ours: Sequence[Json]) -> list[Json]:
    """The holder's extensions with those of a URL replaced by ours, at the end."""
    found = holder.get("extension")
    others = [one for one in found if not (isinstance(one, dict) and one.get("url") == url)] if isinstance(found, list) else []
    return [*others, *ours]


def narrative(title: str, lines: Iterable[str]) -> Json | None:
    """Words for people, None when there are none. "extensions": they say what stands in extensions."""
    shown = [one for one in lines if one.strip()]
    if not shown:
        return None
    items = "".join(f"<li>{escape(one, quote=False)}</li>" for one in shown)
    return {
        "status": "extensions",
        "div": f'<div xmlns="{XHTML}" class="{MARK}"><p>{escape(title, quote=False)}</p><ul>{items}</ul></div>',
    }


def is_ours_to_tell(resource: Mapping[str, Any]) -> bool:
    """Whether the narrative is ours to replace: there is none, or we wrote it."""
    text = resource.get("text")
    return not isinstance(text, Mapping) or f'class="{MARK}"' in str(text.get("div") or "")


def reference_to(kind: str, found_id: str) -> Json:
    """A literal reference, relative to the server's base."""
    return {"reference": f"{kind}/{found_id}"}


def referred(reference: object, kind: str) -> str | None:
    """The id in a literal reference to a resource of a kind, also where the server made it absolute or named a version."""
    text = reference.get("reference") if isinstance(reference, Mapping) else reference
    match = _LOCAL.search(text) if isinstance(text, str) else None
    return match.group(2) if match and match.group(1) == kind else None


def coding(system: str | None, code: str | None, display: str | None = None) -> Json | None:
    """A coding; None without a code that FHIR takes. A system that is no URI is left out."""
    if not code or not _CODE.fullmatch(code):
        return None
    return pruned({"system": system if system and not re.search(r"\s", system) else None, "code": code, "display": display}) or None
