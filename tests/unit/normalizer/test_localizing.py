"""What a provider's file says of the provider's own codes."""

from pathlib import Path

import pytest

from services.normalizer.reading import read_content
from shared.canonical.elements import Coding
from shared.errors import Misconfigured
from shared.providers import load_directory

REPORT = (
    b"MSH|^~\\&|LAB|NORTH|HR|HR|20261102081500+0100||ORU^R01^ORU_R01|G1|P|2.5.1\rPID|1||4711^^^NORTH^MR||Sundqvist^Alma|||2\r"
    b"OBR|1|P1|F1^NORTH|DIETREP^Report of the kitchen^L|||20261102\rOBX|1|NM|GLU^Sugar^L||5.10|mmol/L|||||F\r"
)
FILE = """
[providers.north]
document_types = { DIETREP = "nutrition_note" }
genders = { 2 = "female" }

[providers.north.codes]
"L|GLU" = { system = "http://loinc.org", code = "2345-7", display = "Glucose" }
"""


def written(folder: Path, text: str) -> Path:
    """The provider file."""
    file = folder / "providers.toml"
    file.write_text(text)
    return file


def test_a_line_of_the_file_names_types_and_codes(tmp_path: Path) -> None:
    directory = load_directory(written(tmp_path, FILE))

    north, south = (read_content(REPORT, directory.profile(one)) for one in ("north", "south"))

    assert [one.documents[0].type for one in (north, south)] == ["nutrition_note", "lab_report"]
    assert [one.patients[0].gender for one in (north, south)] == ["female", None]
    assert north.documents[0].content.results[0].code == Coding("L", "GLU", "Sugar", [Coding("http://loinc.org", "2345-7", "Glucose")])
    assert south.documents[0].content.results[0].code == Coding("L", "GLU", "Sugar")


@pytest.mark.parametrize("line", ['document_types = { X = "letter" }', "genders = { 2 = 'f' }", 'codes = { "L|X" = "2345-7" }'])
def test_a_line_that_means_nothing_stops_the_start(tmp_path: Path, line: str) -> None:
    with pytest.raises(Misconfigured, match=r"providers\.toml"):
        load_directory(written(tmp_path, f"[providers.north]\n{line}\n"))
