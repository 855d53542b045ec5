"""`normalize`: many files in order, none stops the others; losses, coverage, explanations and differences."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from services.normalizer import cli, offline_pool
from services.normalizer.mappings import tables
from shared.canonical.reading import ProviderProfile

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden"
REPORT = GOLDEN / "hl7v2" / "referral" / "input.hl7"
PROVIDER = ProviderProfile("offline")
MESSAGE = "MSH|^~\\&|LAB|NORTH|HR|HR|20261102081500+0100||ADT^A08^ADT_A01|G1|P|2.5.1\rPID|1||{}^^^NORTH^MR||Sundqvist^Alma||{}|F\r"


@pytest.fixture
def app() -> typer.Typer:
    """The command line with `normalize` only."""
    made = typer.Typer()
    cli.register(made)
    return made


def run(app: typer.Typer, arguments: Sequence[object], expected: int = 0) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == expected, result.output
    return result.stdout


def lines(app: typer.Typer, *arguments: object) -> list[dict[str, Any]]:
    """The JSON lines that a command prints."""
    return [orjson.loads(one) for one in run(app, arguments).splitlines()]


def test_lines_come_in_the_order_of_the_inputs(app: typer.Typer, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:03d}.hl7").write_text(MESSAGE.format(number, "19720504") * (1 + 50 * (number % 3 == 0)))

    found = lines(app, tmp_path)

    places = [(one["input"], one["index"]) for one in found]
    assert places == sorted(places)
    assert len({name for name, _ in places}) == 40


def hang(path: str, _: ProviderProfile) -> list[bytes]:
    """A reader that some files hang."""
    while "hang" in path:
        pass
    return [json.dumps({"input": path}).encode()]


def test_a_file_that_hangs_is_a_line_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_pool, "read_file", hang)
    paths = [Path("a"), Path("hang"), Path("b")]

    found = list(offline_pool.normalize_files(paths, PROVIDER, processes=2, seconds=3))

    assert [path for path, _ in found] == paths
    assert [one["input"] for _, made in found for one in made] == ["a", "hang", "b"]
    assert found[1][1][0]["reason"] == "parse_timeout"


def test_a_folder_that_does_not_exist_is_said_and_the_others_are_read(app: typer.Typer) -> None:
    printed = run(app, [REPORT, "/no/such/place"], expected=1)

    assert orjson.loads(printed)["outcome"] == "normalized"


def test_losses_are_counts_and_paths(app: typer.Typer) -> None:
    (found,) = lines(app, REPORT, "--losses", "--json")
    printed = run(app, [REPORT, "--losses"])

    assert found["losses"]["unmapped"] == {"RF1": 4, "DG1-6": 1}
    assert "not mapped       4  RF1" in printed
    assert "set_id: " in printed


def test_coverage_adds_up_by_format_with_the_least_read_first(app: typer.Typer) -> None:
    folder = GOLDEN / "hl7v2" / "unknown-segments"
    (found,) = lines(app, REPORT, folder / "input.hl7", "--coverage", "--json")
    printed = run(app, [REPORT, folder / "input.hl7", "--coverage"])

    figures = found["formats"]["hl7v2"]
    assert figures["inputs"] == 2
    assert figures["score"] == round(figures["mapped"] / (figures["mapped"] + sum(figures["unmapped"].values())), 4)
    assert [one["score"] for one in found["inputs"]] == sorted(one["score"] for one in found["inputs"])
    assert re.search(r"hl7v2 +2 +0 ", printed)


def test_each_field_is_explained_by_its_sources(app: typer.Typer) -> None:
    (found,) = lines(app, REPORT, "--explain", "--json")

    assert found["fields"]["patients[0].birth_date"]["from"] == ["PID-7"]
    assert found["fields"]["patients[0].medical_history[0].onset"]["from"] == ["DG1-5"]
    assert set(found["fields"]["documents[0].content.text"]["from"]) == {"OBX-3.2", "OBX-5"}
    assert "MSH-9.1" in found["fields"]["documents[0].type"]["decided_by"]


def test_each_warning_is_explained(app: typer.Typer) -> None:
    (found,) = lines(app, GOLDEN / "hl7v2" / "no-known-allergies" / "input.hl7", "--explain", "--json")
    printed = run(app, [GOLDEN / "hl7v2" / "no-known-allergies" / "input.hl7", "--explain"])

    assert {"code": "allergy_without_substance", "where": "AL1[6]-3", "who": "provider"}.items() <= found["warnings"][1].items()
    assert "warning allergy_without_substance at AL1[6]-3" in printed


@pytest.mark.parametrize("case", ["fhir/allergies", "ccda/food-allergies"])
def test_other_formats_are_explained_too(app: typer.Typer, case: str) -> None:
    path = next((GOLDEN / case).glob("input.*"))

    (found,) = lines(app, path, "--explain", "--json")

    shown = found["fields"]["patients[0].medical_history[0].code.code"]["from"]
    assert len(shown) <= 2
    assert shown[-1].endswith(("code.coding[0].code", "playingEntity/code/@code"))


def test_a_diff_ranks_fields_by_patients(app: typer.Typer, tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.hl7").write_text(MESSAGE.format(4711 + number, "19720504"))
    earlier = tmp_path / "earlier.jsonl"
    made = lines(app, folder)
    for one in made:
        one["patients"][0]["gender"] = None
    made[0]["patients"][0]["birth_date"] = "1970"
    earlier.write_bytes(b"\n".join(orjson.dumps(one) for one in made))

    changes = lines(app, folder, "--diff", earlier, "current", "--json")
    printed = run(app, [folder, "--diff", earlier, "current"])

    assert [(one["field"], one["patients"], one["documents"]) for one in changes] == [
        ("patients[].gender", 3, 3),
        ("patients[].birth_date", 1, 1),
    ]
    assert printed.index("patients[].gender") < printed.index("patients[].birth_date")


def test_a_diff_tries_tables_before_they_are_taken_over(app: typer.Typer, tmp_path: Path) -> None:
    tried = tmp_path / "tables"
    tried.mkdir()
    shutil.copy(Path(tables.__file__).parent / "hl7v2_codes.toml", tried)
    text = (tried / "hl7v2_codes.toml").read_text()
    (tried / "hl7v2_codes.toml").write_text(text.replace('F = "female"', 'F = "unknown"'))

    changes = lines(app, REPORT, "--diff", "current", tried, "--json")

    assert [one["field"] for one in changes] == ["patients[].gender"]


def test_a_diff_reads_with_another_checkout(app: typer.Typer, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("services", "shared", "deploy"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    table = checkout / "services" / "normalizer" / "mappings" / "hl7v2_codes.toml"
    table.write_text(table.read_text().replace('F = "female"', 'F = "unknown"'))

    changes = lines(app, REPORT.parent, "--diff", checkout, "current", "--json")

    assert [(one["field"], one["inputs"]) for one in changes] == [("patients[].gender", [f"{REPORT} [0]"])]


def test_what_is_no_mapping_is_refused(app: typer.Typer, tmp_path: Path) -> None:
    run(app, [REPORT, "--diff", "current", tmp_path], expected=2)
    run(app, [REPORT, "--losses", "--explain"], expected=2)
