"""Rendering in processes of its own: whatever happens there, a document comes out."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from services.carepatron_writer.rendering import Rendered
from services.carepatron_writer.rendering.isolated import Renderer, render_apart
from shared.canonical.models import HealthcareDocument
from tests.unit.carepatron_writer.rendering_examples import MAX_BYTES, TYPES, a_file, a_full_report, a_pdf, a_report, by_digest, rendered

LETTER = a_pdf("A letter")
DOCUMENT = a_full_report(attachments=[a_file(LETTER, "application/pdf")])


def hang(*_: Any) -> None:
    """Never done."""
    time.sleep(600)


def die(*_: Any) -> None:
    """As a library does that writes where it should not."""
    os.abort()


def fail(*_: Any) -> None:
    """A defect of ours."""
    raise ZeroDivisionError


def eat(*_: Any) -> int:
    """More memory than there is."""
    return len(bytearray(4 << 30))


def die_showing_files(*args: Any) -> Rendered | None:
    """As a hostile file does when somebody looks into it."""
    if args[-1]:
        os.abort()
    return render_apart(*args)


def _rendered(
    apart: Callable[..., Any], *, times: int = 1, processes: int = 1, document: HealthcareDocument = DOCUMENT
) -> list[Rendered | None]:
    async def run() -> list[Rendered | None]:
        renderer = Renderer(processes=processes, seconds=20 if apart is not hang else 1.5, apart=apart)
        try:
            every = [renderer.render(document, by_digest(LETTER), media_types=TYPES, max_bytes=MAX_BYTES) for _ in range(times)]
            return list(await asyncio.gather(*every))
        finally:
            await renderer.aclose()

    return asyncio.run(run())


def test_the_process_renders_what_we_would() -> None:
    assert _rendered(render_apart, times=3, processes=2) == [rendered(DOCUMENT, LETTER)] * 3


@pytest.mark.parametrize("apart", [hang, die, fail, eat])
def test_when_rendering_is_given_up_the_document_is_text(apart: Callable[..., Any]) -> None:
    (made,) = _rendered(apart)

    assert made is not None
    assert (made.media_type, made.warnings) == ("text/plain", ("rendered_as_text", "file_not_attached"))
    assert b"No known allergy to shellfish" in made.content


def test_a_file_that_is_the_document_goes_without_a_process() -> None:
    (made,) = _rendered(die, document=a_report(attachments=[a_file(LETTER, "application/pdf")]))

    assert made == Rendered(LETTER, "application/pdf")


def test_a_file_that_ends_the_process_is_attached_unseen() -> None:
    (made,) = _rendered(die_showing_files)

    assert made is not None
    assert made.media_type == "application/pdf"
    assert made.warnings == ("pages_not_shown",)
