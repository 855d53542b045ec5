"""Splitting: one published file may hold many messages; each becomes a record of its own."""

from collections.abc import Callable

from shared.canonical.reading import Format
from shared.formats.fhir import split_resources
from shared.formats.hl7v2_text import split_messages

SPLITTERS: dict[Format, Callable[[bytes], list[bytes]]] = {"hl7v2": split_messages, "fhir": split_resources}


def split(content: bytes, format: Format) -> list[bytes]:
    """The messages or documents in the bytes, in order; a malformed one is a part too. Empty when there is nothing."""
    splitter = SPLITTERS.get(format)
    return splitter(content) if splitter else [content]
