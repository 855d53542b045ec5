"""What the readers make of the golden cases is rendered without losing a word."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.carepatron_writer.rendering.printing import render
from shared.canonical.models import HealthcareDocument
from tests.unit.carepatron_writer.rendering_examples import MAX_BYTES, TYPES, squeezed, text_of, words_of

GOLDEN = Path(__file__).parents[2] / "golden"


def _documents() -> list[Any]:
    """Every document of the golden cases."""
    found = []
    for path in sorted(GOLDEN.glob("*/*/expected.json")):
        readings = json.loads(path.read_text())
        documents = [one for reading in readings for one in reading.get("documents") or ()]
        found += [pytest.param(one, id=f"{path.parts[-3]}-{path.parts[-2]}-{number}") for number, one in enumerate(documents)]
    return found


@pytest.mark.parametrize("written", _documents())
def test_every_word_of_a_golden_document_is_in_its_pdf(written: dict[str, Any]) -> None:
    document = HealthcareDocument.model_validate({**written, "id": written["document_id"] or UUID(int=1), "patient_id": None})
    made = render(document, {}, media_types=TYPES, max_bytes=MAX_BYTES)
    if made is None:  # only files, and they are not with the case
        assert not document.content.text
        return
    text = squeezed(text_of(made.content))
    negations = {"not", "No", "no", "negated", "refuted", "Keine", "Denies"}

    assert made.media_type == "application/pdf"
    assert [word for word in words_of(document) if word not in text] == []
    assert all(text.count(word) >= squeezed(document.content.text or "").count(word) for word in negations)
