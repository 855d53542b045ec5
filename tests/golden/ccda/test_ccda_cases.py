"""Golden cases of C-CDA and of plain files: this input, written by us, gives exactly this reading."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.normalizer.readers.ccda import read_ccda
from services.normalizer.readers.other import read_other
from shared.canonical.reading import ProviderProfile
from shared.formats.recognise import recognise

PROVIDER = ProviderProfile("golden")
INPUTS = sorted(one for folder in ("ccda", "other") for one in (Path(__file__).parents[1] / folder).glob("*/input.*"))
INTERNAL = ("files", "source_time", "merges")  # what `normalize` does not print


def read(content: bytes) -> list[dict[str, Any]]:
    """The reading as `normalize` prints it."""
    format = recognise(content)
    reading = read_ccda(content, PROVIDER) if format == "ccda" else read_other(content, format, PROVIDER)
    made: dict[str, Any] = msgspec.to_builtins(reading)
    return [{name: value for name, value in made.items() if name not in INTERNAL}]


@pytest.mark.parametrize("path", INPUTS, ids=lambda one: f"{one.parent.parent.name}/{one.parent.name}")
def test_the_input_gives_the_expected_reading(path: Path) -> None:
    expected = msgspec.json.decode((path.parent / "expected.json").read_bytes())

    assert expected == read(path.read_bytes())


@pytest.mark.parametrize("path", INPUTS, ids=lambda one: f"{one.parent.parent.name}/{one.parent.name}")
def test_every_case_says_why(path: Path) -> None:
    assert (path.parent / "why.md").read_text(encoding="utf-8").strip()
