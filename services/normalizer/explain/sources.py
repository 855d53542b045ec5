"""Which elements of a source each field of its reading comes from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from services.normalizer.explain.cda import edits_of, root_of
from services.normalizer.explain.cda_parts import Ask, cda_effects
from services.normalizer.explain.differences import Touched, differences, fields_of
from services.normalizer.explain.variants import VARIANTS
from services.normalizer.offline import as_json
from services.normalizer.reading import read_content
from shared.canonical.reading import Format, ProviderProfile

DESCRIBED = ("patients", "documents")  # what of a reading is explained


@dataclass(slots=True)
class Sources:
    """Of one field: the paths whose values it shows, and those that decide whether it is there at all."""

    shows: list[str] = field(default_factory=list)
    decide: list[str] = field(default_factory=list)


def sources_of(content: bytes, format: Format, provider: ProviderProfile, progress: Callable[[], None] | None = None) -> dict[str, Sources]:
    """The sources by field of the result (`patients[0].name.family`); none for formats without named elements."""

    ask = asking(format, provider)
    found = {path: Sources() for path in fields_of(ask(content))}
    for path, touched in cda_effects(content, ask) if format == "ccda" else effects(content, format, ask):
        for name, is_gone in touched:
            sources = found.setdefault(name, Sources())
            (sources.decide if is_gone else sources.shows).append(path)
        if progress:
            progress()
    return found


def asking(format: Format, provider: ProviderProfile) -> Ask:
    """The reader, as an explanation asks it."""

    def ask(source: bytes) -> dict[str, Any]:
        made = as_json(read_content(source, provider, format=format))
        return {name: made[name] for name in DESCRIBED}

    return ask


def count_elements(content: bytes, format: Format) -> int:
    """How many elements an explanation asks about."""
    if format == "ccda":
        root = root_of(content)
        return 0 if root is None else sum(1 for _ in edits_of(root))
    variants = VARIANTS.get(format)
    return sum(1 for _ in variants(content)) if variants else 0


def effects(content: bytes, format: Format, ask: Ask) -> Iterator[tuple[str, set[Touched]]]:
    """Each element with the fields that it touches when it is changed, or else when it is absent."""
    variants = VARIANTS.get(format)
    base = ask(content)
    for variant in variants(content) if variants else ():
        touched: set[Touched] = set()
        for other in (variant.changed, variant.absent):
            touched = set(differences(base, ask(other), "")) if other is not None else set()
            if touched:
                break
        yield variant.path, touched
