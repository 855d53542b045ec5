"""HL7 v2 as bytes: recognising, splitting batches into messages, decoding a message. HL7 v2.8, chapter 2.10.3 (batches), table 0211."""

import re

from shared.formats.wide import narrow, narrow_head

MLLP_BYTES = b"\x0b\x1c"
BLANK = b"\xef\xbb\xbf \t\r\n\x0b\x1c\x00\x1a"
HEADS = (b"MSH", b"FHS", b"BHS")
HEADLESS = re.compile(rb"(?:EVN|PID|PD1|PV1|ORC|OBR|OBX|TXA|NTE|AL1|DG1)\|")  # a message that lost its MSH
MESSAGE_START = re.compile(rb"(?:^|[\r\n\x0b\x1c])\xef?\xbb?\xbf?(?=[Mm][Ss][Hh][^\r\nA-Za-z0-9 ])")
ENVELOPE = re.compile(rb"(?<![\r\n])[\r\n]+(?=(?:FHS|BHS|BTS|FTS)[^\r\nA-Za-z0-9 ])", re.IGNORECASE)
LINES = re.compile(r"\r\n|\r|\n")
CHARSETS = {  # HL7 table 0211
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "ASCII": "ascii",
    "UNICODE UTF-16": "utf-16",
    **{f"8859/{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
}


def is_hl7v2(content: bytes) -> bool:
    """Whether the bytes begin like HL7 v2: MSH, FHS or BHS after a byte order mark, framing bytes or white space."""
    start = narrow_head(content, 128)[:64].lstrip(BLANK)
    if HEADLESS.match(start):
        return True
    return start[:3].upper() in HEADS and (len(start) < 4 or not start[3:4].isalnum())


def split_messages(content: bytes) -> list[bytes]:
    """The messages in the bytes, in order: batches, several MSH without a header, framing bytes. A malformed one is a part of its own."""
    content = narrow(content)
    starts = [match.end() for match in MESSAGE_START.finditer(content)]
    if not starts:
        stripped = content.strip(BLANK)
        return [stripped] if stripped else []
    parts: list[bytes] = []
    for start, end in zip(starts, [*starts[1:], len(content)], strict=True):
        part = ENVELOPE.split(content[start:end], maxsplit=1)[0].strip(MLLP_BYTES + b"\r\n \x00")
        parts.append(part)
    return parts


def decode(content: bytes) -> tuple[str, list[str]]:
    """The text, and codes of what was odd: UTF-8 when it is, else the charset that MSH-18 declares, else Windows-1252."""
    body = narrow(content).strip(BLANK)
    if body.isascii():
        return body.decode("ascii"), []
    try:
        return body.decode("utf-8"), []
    except UnicodeDecodeError:
        pass
    declared = _declared_charset(body)
    if declared and declared not in ("utf-8", "ascii"):
        try:
            return body.decode(declared), []
        except (UnicodeDecodeError, LookupError):
            pass
    try:
        return body.decode("cp1252"), ["charset_guessed"]
    except UnicodeDecodeError:
        return body.decode("latin-1"), ["charset_guessed"]


def _declared_charset(body: bytes) -> str | None:
    head = LINES.split(body[:2048].decode("latin-1"), maxsplit=1)[0]
    fields = head.split(head[3:4] or "|")
    return CHARSETS.get(re.split(r"[~^]", fields[17])[0].strip().upper()) if len(fields) > 17 else None
