"""Changing inputs by chance: bytes, pieces, and what the formats are made of."""

import random
import re
from collections.abc import Callable

Mutation = Callable[[random.Random, bytes, list[bytes]], bytes]

BYTES = (
    b"\0",
    b"\xff",
    b"\xc3",
    b"\r",
    b"\n",
    b"|",
    b"^",
    b"~",
    b"\\",
    b"&",
    b"<",
    b">",
    b'"',
    b"{",
    b"}",
    b"\x0b",
    b"\x1c",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
)
WORDS = (
    *(b"MSH|^~\\&|", b"\\X0d0a\\", b"\\.sp99999999\\", b'""', b"9" * 400, b"-0", b"1e999", b"NaN", b"null", b"[]", b"{}", b"true"),
    *(
        b"&#0;",
        b"&lt;",
        b"<![CDATA[",
        b"]]>",
        b"<!--",
        b"xmlns:x='urn:x'",
        b"nullFlavor='NI'",
        b"#",
        b"urn:uuid:",
        b"0000",
        b"99991231235959.9999-9999",
    ),
    *(b"\\u0000", b"\\ud800", b"{\\rtf1", b"\\'e4", b"\\u-9999?", b"%PDF-1.7", b"endobj", b"A" * 5000, "\u202e\u0301".encode()),
)
TOKEN = re.compile(rb"[A-Za-z0-9.]+|[^A-Za-z0-9.\s]")


def flip(chance: random.Random, content: bytes, _: list[bytes]) -> bytes:
    """One byte is another."""
    at = chance.randrange(len(content) + 1)
    return content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]


def insert(chance: random.Random, content: bytes, _: list[bytes]) -> bytes:
    """Something that means something comes in."""
    at = chance.randrange(len(content) + 1)
    return content[:at] + chance.choice((*BYTES, *WORDS)) + content[at:]


def cut(chance: random.Random, content: bytes, _: list[bytes]) -> bytes:
    """A piece is gone, or the end."""
    begin, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    return content[:begin] if chance.random() < 0.3 else content[:begin] + content[end:]


def repeat(chance: random.Random, content: bytes, _: list[bytes]) -> bytes:
    """A piece comes several times."""
    begin, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    return content[:begin] + content[begin : min(end, begin + 500)] * chance.randint(2, 20) + content[end:]


def splice(chance: random.Random, content: bytes, corpus: list[bytes]) -> bytes:
    """A piece of another input, perhaps of another format."""
    other = chance.choice(corpus)
    at, begin = chance.randrange(len(content) + 1), chance.randrange(len(other) + 1)
    return content[:at] + other[begin : begin + chance.randint(1, 2000)] + content[at + chance.randint(0, 200) :]


def swap_tokens(chance: random.Random, content: bytes, _: list[bytes]) -> bytes:
    """Two words, or two marks, change places."""
    tokens = list(TOKEN.finditer(content[:20_000]))
    if len(tokens) < 2:
        return content
    one, other = sorted(chance.sample(tokens, 2), key=lambda found: found.start())
    return content[: one.start()] + other[0] + content[one.end() : other.start()] + one[0] + content[other.end() :]


def lines(chance: random.Random, content: bytes, _: list[bytes]) -> bytes:
    """Lines (segments, elements) in another order, doubled, or gone."""
    mark = b"\r" if content.count(b"\r") > content.count(b"\n") else b"\n" if b"\n" in content else b">"
    parts = content.split(mark)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(parts))
        match chance.randrange(3):
            case 0:
                parts.insert(chance.randrange(len(parts) + 1), parts[at])
            case 1 if len(parts) > 1:
                del parts[at]
            case _:
                other = chance.randrange(len(parts))
                parts[at], parts[other] = parts[other], parts[at]
    return mark.join(parts)


MUTATIONS: tuple[Mutation, ...] = (flip, flip, insert, insert, cut, repeat, splice, swap_tokens, swap_tokens, lines, lines)


def mutated(chance: random.Random, corpus: list[bytes]) -> bytes:
    """An input of the corpus after some changes."""
    content = chance.choice(corpus)
    for _ in range(chance.randint(1, 6)):
        content = chance.choice(MUTATIONS)(chance, content, corpus)
    return content[:200_000]
