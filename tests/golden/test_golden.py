"""Golden cases of every format: this input, synthetic and written here, gives exactly these readings, as `normalize` prints them."""

from pathlib import Path

import msgspec
import pytest

from services.ingest.core import take_in
from services.normalizer.offline import as_json, normalize_bytes
from shared.canonical.reading import ProviderProfile

PROVIDER = ProviderProfile("golden")
INPUTS = sorted(Path(__file__).parent.glob("*/*/input.*"))


def named(path: Path) -> str:
    """format/case."""
    return f"{path.parent.parent.name}/{path.parent.name}"


@pytest.mark.parametrize("path", INPUTS, ids=named)
def test_the_input_gives_the_expected_readings(path: Path) -> None:
    expected = msgspec.json.decode((path.parent / "expected.json").read_bytes())

    assert [as_json(one) for one in normalize_bytes(path.read_bytes(), PROVIDER)] == expected


@pytest.mark.parametrize("path", INPUTS, ids=named)
def test_every_case_says_why(path: Path) -> None:
    assert (path.parent / "why.md").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("path", INPUTS, ids=named)
def test_the_light_look_of_ingest_agrees_with_the_reader(path: Path) -> None:
    content = path.read_bytes()
    taken = take_in(content, provider=PROVIDER, media_type=None, patient_key=None, max_parts=1000)
    readings = normalize_bytes(content, PROVIDER)
    if not isinstance(taken, list):  # ingest refuses whole what it cannot take apart
        assert {one.outcome for one in readings} == {"rejected"}
        return

    for part, reading in zip(taken, readings, strict=True):
        if reading.outcome == "normalized" and reading.patients and part.patient_key:
            assert reading.patients[0].patient_key == part.patient_key
        if reading.outcome == "normalized" and reading.documents and part.document_id:
            assert reading.documents[0].document_id == part.document_id
