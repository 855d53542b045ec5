"""UTF-16 as UTF-8: some senders write JSON and messages in two bytes a character, with and without a byte order mark."""

import codecs

_LOOKED_AT = 16  # bytes that tell how a text without a mark is written: formats begin in ASCII


def narrow(content: bytes) -> bytes:
    """The same text in UTF-8 when the bytes are UTF-16; any other bytes as they are. Never raises."""
    if content[1:2] != b"\0" and content[:1] not in (b"\0", b"\xff", b"\xfe"):
        return content
    encoding = _encoding(content)
    if encoding is None:
        return content
    try:
        return content[: len(content) & ~1].decode(encoding).encode()
    except UnicodeError:
        return content


def narrow_head(content: bytes, size: int) -> bytes:
    """The first `size` bytes in the same way; half a character at their end is left out."""
    head = content[: size & ~1]
    for one in (head, head[:-2]):
        found = narrow(one)
        if found is not one:
            return found
    return content[:size]


def _encoding(content: bytes) -> str | None:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None if content.startswith(codecs.BOM_UTF32_LE) else "utf-16"
    head = content[:_LOOKED_AT]
    even, odd = head[::2], head[1::2]
    if len(head) >= 4 and not odd.strip(b"\0") and 0 not in even[: len(odd)]:
        return "utf-16-le"
    return "utf-16-be" if len(head) >= 4 and not even.strip(b"\0") and 0 not in odd else None
