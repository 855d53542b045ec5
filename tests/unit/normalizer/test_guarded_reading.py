"""Reading inside the service: what a PDF inside a document breaks costs its text, never the document."""

import asyncio
from base64 import b64encode
from pathlib import Path

import pytest

from services.normalizer.guarded_reading import GuardedReader
from services.normalizer.readers.embedded import read_pdfs
from services.normalizer.reading import read_content
from shared.canonical.reading import ProviderProfile, Reading
from shared.isolation import Stopped

PROVIDER = ProviderProfile("clinic-a")
PDF = (Path(__file__).parents[2] / "golden" / "other" / "pdf" / "input.pdf").read_bytes()
LOCKED = (Path(__file__).parents[2] / "golden" / "other" / "pdf-encrypted" / "input.pdf").read_bytes()
MESSAGE = (
    "MSH|^~\\&|LAB|NORTH|HR|HR|20261102081500+0100||MDM^T02|G1|P|2.5.1\rPID|1||4711^^^NORTH^MR||Sundqvist^Alma\r"
    "TXA|1|CN^Consultation^HL70270|AP|20261102080000+0100||||||||N-79^NORTH\r"
    f"OBX|1|ED|PDF^Letter^L||LAB^AP^PDF^Base64^{b64encode(PDF).decode()}||||||F\r"
).encode()


def read(inline_bytes: int, *, is_stopped: bool = False, monkeypatch: pytest.MonkeyPatch | None = None) -> Reading:
    """The message as the service reads it."""

    async def stop(*_: object) -> None:
        raise Stopped("TimeoutError")

    async def run() -> Reading:
        reader = GuardedReader(inline_bytes=inline_bytes, read_seconds=30, read_memory_bytes=2 << 30)
        if is_stopped and monkeypatch is not None:
            monkeypatch.setattr(reader, "_pdfs", stop)
            monkeypatch.setattr(reader, "aclose", reader._apart.aclose)
        try:
            return await reader.read(MESSAGE, PROVIDER, "hl7v2", None)
        finally:
            await reader.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize("inline_bytes", [10, 1 << 20])
def test_the_service_reads_what_is_inside_as_offline(inline_bytes: int) -> None:
    reading = read(inline_bytes)

    assert reading == read_content(MESSAGE, PROVIDER)
    assert reading.documents[0].content.text == "Synthetic diet plan\nNo added salt"


def test_a_pdf_that_breaks_its_reader_costs_only_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = read(1 << 20, is_stopped=True, monkeypatch=monkeypatch)

    assert reading.outcome == "normalized"
    assert [(one.code, one.where) for one in reading.warnings] == [("attachment_not_read", "document[1]/attachment[1]")]
    assert reading.documents[0].content.text is None
    assert [one.media_type for one in reading.documents[0].content.attachments] == ["application/pdf"]


def test_pages_are_counted_over_all_pdfs_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.normalizer.readers.embedded.MAX_PAGES", 2)

    found = read_pdfs({"a": PDF, "b": LOCKED, "c": PDF, "d": PDF})

    assert [bool(one.text) for one in found.values()] == [True, False, True, False]
    assert [one.is_readable for one in found.values()] == [True, False, True, True]
    assert found["d"].odd == ["pages_not_read"]
