"""Splitting: one published file may hold many messages, or be a package of files; each becomes a record of its own."""

from collections.abc import Callable
from typing import NamedTuple

from shared.canonical.reading import Format
from shared.formats.fhir import split_resources
from shared.formats.hl7v2_text import split_messages
from shared.formats.packages import Member, unpack
from shared.formats.recognise import recognise
from shared.identity import PatientIdentifier

SPLITTERS: dict[Format, Callable[[bytes], list[bytes]]] = {"hl7v2": split_messages, "fhir": split_resources}


class Piece(NamedTuple):
    """One message or document, its format, and whom its package says it is about."""

    content: bytes
    format: Format
    patient: PatientIdentifier | None = None


class Pieces(NamedTuple):
    """What some bytes hold, in order, and how many members of a package were left out because they are no documents."""

    pieces: list[Piece]
    left_out: int = 0


def take_apart(content: bytes, media_type: str | None = None) -> Pieces:
    """The messages or documents in the bytes; a malformed one is a piece too. Raises RefusedPackage."""
    unpacked = unpack(content)
    if unpacked is None:
        return Pieces(_pieces(Member(content), media_type))
    return Pieces([piece for one in unpacked.members for piece in _pieces(one, None)], unpacked.left_out)


def _pieces(member: Member, media_type: str | None) -> list[Piece]:
    format = recognise(member.content, media_type)
    return [Piece(one, format, member.patient) for one in split(member.content, format)]


def split(content: bytes, format: Format) -> list[bytes]:
    """The messages or documents in the bytes, in order; a malformed one is a part too. Empty when there is nothing."""
    splitter = SPLITTERS.get(format)
    return splitter(content) if splitter else [content]
