"""FHIR as it is decoded: JSON with the digits as written, XML as the JSON of the same resource."""

import re
from typing import Any

import msgspec

from shared.formats.fhir_xml import is_xml, read_tree
from shared.formats.wide import narrow
from shared.formats.xml import RefusedXML
from shared.outcomes import Reason

BLANK = b"\xef\xbb\xbf \t\r\n"
_POSITION = re.compile(r"\(byte (\d+)\)")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)


class Number(str):
    """A JSON number with the digits that were written."""

    __slots__ = ()


class NotJson(Exception):
    """The bytes are neither JSON nor XML that is read; `where` is `byte N`, `line N`, `depth`, or nothing."""

    def __init__(self, where: str | None, reason: Reason = Reason.MALFORMED_JSON) -> None:
        super().__init__(where)
        self.where = where
        self.reason = Reason.TOO_DEEP if where == "depth" else reason


_DECODER = msgspec.json.Decoder(float_hook=Number)


def decode(content: bytes) -> Any:
    """The JSON value, decimals as `Number`; XML as the JSON of the same resource. Raises NotJson, never anything else.

    An object that says one name twice is refused: readers would differ in which value counts.
    """
    if is_xml(content):
        try:
            return read_tree(content)
        except RefusedXML as refusal:
            raise NotJson(refusal.where, refusal.reason) from None
    content = narrow(content)
    body = content.strip(BLANK)
    skipped = content.find(body[:1]) if body else 0
    try:
        tree = _DECODER.decode(body)
    except RecursionError:
        raise NotJson("depth") from None
    except UnicodeDecodeError:
        raise NotJson(_undecodable(body, skipped)) from None
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        found = _POSITION.search(str(error))
        at = int(found[1]) if found else len(body) if "truncated" in str(error) else None  # a number without end has no place
        raise NotJson(None if at is None else f"byte {skipped + at}") from None
    if (repeated := repeated_name(body, tree)) is not None:
        raise NotJson(f"byte {skipped + repeated}")
    return tree


def _undecodable(body: bytes, skipped: int) -> str | None:
    """Where the bytes stop being UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"byte {skipped + error.start}"
    return None


def _as_written(number: Number) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


def encode(tree: Any) -> bytes:
    """The JSON of a tree, numbers with their digits as written."""
    return msgspec.json.encode(tree, enc_hook=_as_written)


def repeated_name(body: bytes, tree: Any) -> int | None:
    """Where an object of the JSON that gave this tree says a name for the second time: readers would differ in which value counts."""
    try:
        written = msgspec.json.encode(tree, enc_hook=_as_written)
    except (msgspec.EncodeError, TypeError, ValueError, OverflowError, RecursionError):
        written = b""
    # a lost name takes its two quotation marks along; the exact look is only for those few whose count differs
    said, kept = body.count(b'"'), written.count(b'"')
    if b"u0022" in body:  # writing anew gives this one a quotation mark that the body has not
        said, kept = said - body.count(b'\\"'), kept - written.count(b'\\"')
    if said == kept:
        return None
    open_names: list[set[str] | None] = []  # of each open object the names said so far; None for an array
    is_name = False
    for found in _TOKEN.finditer(body):
        token = found[0]
        if token == b"{":
            open_names.append(set())
        elif token == b"[":
            open_names.append(None)
        elif token in (b"}", b"]"):
            open_names.pop()
        elif is_name and open_names and (names := open_names[-1]) is not None and token[:1] == b'"':
            name = msgspec.json.decode(token, type=str)
            if name in names:
                return found.start()
            names.add(name)
        is_name = token in (b"{", b",")
    return None
