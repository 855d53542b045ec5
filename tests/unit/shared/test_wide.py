"""UTF-16 becomes UTF-8; everything else stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formats.wide import narrow, narrow_head

TEXT = '{"resourceType": "Patient", "name": [{"family": "Šimůnková 😀"}]}'


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_read_with_and_without_its_mark(encoding: str) -> None:
    assert narrow(TEXT.encode(encoding)).decode() == TEXT
    assert narrow(TEXT.encode(encoding) + b"\n").decode() == TEXT  # half a character at the end


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        TEXT.encode(),
        TEXT.encode("utf-32"),
        b"\xff\xfe\x00\xd8",  # half a pair
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\0\0\0\0\0\0\0\0",
        b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0",
        "Größe".encode("cp1252"),
    ],
)
def test_other_bytes_stay(content: bytes) -> None:
    assert narrow(content) is content


def test_a_head_may_end_inside_a_character() -> None:
    assert narrow_head(("{" * 8 + "😀" * 100).encode("utf-16-le"), 35) == ("{" * 8 + "😀" * 4).encode()
    assert narrow_head(b"abc", 2) == b"ab"


@given(st.binary(max_size=80), st.sampled_from([b"", b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{"]))
def test_nothing_is_raised(tail: bytes, head: bytes) -> None:
    assert isinstance(narrow(head + tail), bytes)
    assert isinstance(narrow_head(head + tail, 9), bytes)
