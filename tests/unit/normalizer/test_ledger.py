"""The loss ledger: its tables are held against the readers, by changing one element of a golden input at a time."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from services.normalizer.explain.variants import VARIANTS
from services.normalizer.mappings.tables import load_table
from services.normalizer.offline import as_json
from services.normalizer.reading import read_content
from shared.canonical.reading import Format, Losses, ProviderProfile

PROVIDER = ProviderProfile("golden", time_zone="Europe/Zurich")
ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden"
FORMATS: tuple[Format, ...] = ("hl7v2", "fhir", "ccda")
DECIDING = (
    "resourceType",
    "section/code/@code",
    "@moodCode",
    "templateId/@root",
)  # what they decide about is counted, or missed, with them
MESSAGE = b"MSH|^~\\&|LAB|NORTH|HR|HR|20261102081500+0100||ADT^A08^ADT_A01|G1|P|2.5.1\rPID|1||4711^^^NORTH^MR||Sundqvist^Alma\r"


def read(content: bytes, format: Format) -> tuple[dict[str, Any], Losses | None]:
    """What a reading says, and its ledger."""
    reading = read_content(content, PROVIDER, format=format)
    said = as_json(reading)
    said.pop("losses", None)
    for one in said["documents"]:  # without a number of its own a document is named by all of its bytes
        del one["document_id"]
    for one in said["patients"]:
        del one["patient_key"]
    return {**said, "merges": reading.merges}, reading.losses


def fate(before: Losses, after: Losses) -> set[str]:
    """Where an element that is gone had been counted: `mapped`, `ignored`, or the path under which it was missed."""
    found = {"mapped"} if after.mapped < before.mapped else set()
    found |= {"ignored" for rule, count in before.ignored.items() if after.ignored.get(rule, 0) < count}
    return found | {path for path, count in before.unmapped.items() if after.unmapped.get(path, 0) < count}


def element(path: str) -> str:
    """A path without the numbers of what repeats."""
    return re.sub(r"\[\d+\]", "", path)


PATIENT = {"resourceType": "Patient", "id": "p1", "identifier": [{"value": "4711"}]}
HEAD = "MSH|^~\\&|LAB|NORTH|HR|HR|20261102081500+0100||{}|G1|P|2.5.1||||||{}\rPID|1||4711^^^NORTH^MR||Sundqvist^Alma\r"
EXTRA: dict[Format, list[bytes]] = {  # where an element counts only because another one is absent, or says something unusual
    "hl7v2": [
        HEAD.format("ADT^A60", "").encode() + b"IAM|1|FA|^Egg|SV||A||A1|IN\rIAM|2|FA^Food^HL70127|^Milk|SV\rAL1|1|FA^Food|^Nut\r",
        HEAD.format("ADT^A08", "").encode().rstrip() + b"||19720504|F|||||5550100^^CP~5550101^PRN^PH\r",
        HEAD.format("ADT", "").encode() + b"EVN|A40\rMRG|4712^^^SOUTH\r",
        HEAD.format("MDM^T02", "").encode() + b"TXA|1|DS|TX||B7^|20261102||||||D1^NORTH|||||||OB\rOBX|1|TX|^T||x\r",
        HEAD.format("ADT^A08", "8859/2").encode() + "PRB|UP|20261102|1^A^L||||||||||^|resolved\rDG1|1||^Žena\r".encode("iso8859-2"),
        HEAD.format("ORU^R01", "").encode()
        + b"OBR|1|P1|F1|1^A\rOBX|1|ST|1^A||x\rOBR|2|P2|F2|2^B|||||||||||||||||||||||||P1^\rOBX|1|ST|1^A||x\r",
    ],
    "fhir": [
        json.dumps(one).encode()
        for one in (
            {**PATIENT, "address": [{"city": "Uppsala"}]},
            {"resourceType": "DocumentReference", "id": "d1", "status": "superseded", "subject": {"reference": "Patient/p1"}},
            {
                "resourceType": "NutritionOrder",
                "id": "n1",
                "patient": {"reference": "Patient/p1"},
                "oralDiet": {"instruction": "soft food"},
                "enteralFormula": {"administrationInstruction": "slowly"},
            },
            {
                "resourceType": "Observation",
                "id": "o1",
                "code": {"text": "t"},
                "valueRange": {"low": {"value": 1}, "high": {"value": 2, "unit": "g"}},
            },
            {"resourceType": "DiagnosticReport", "id": "r1", "presentedForm": [{"contentType": "text/plain", "url": "urn:x"}]},
        )
    ],
    "ccda": [],
}
SECOND_CHOICE = {
    "PLAYINGENTITY/NAME",
    "OBSERVATION/VALUE",
    "TEXT/STATUS",
    "PATIENT/REFERENCE",
}  # shown only when what goes before them is absent


@cache
def seen(format: Format) -> dict[str, dict[str, set[str]]]:
    """Of each element of all golden inputs: as what it was counted when it changed the result, and when it did not."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: {"used": set(), "unused": set()})
    for content in (*(path.read_bytes() for path in sorted(GOLDEN.glob(f"{format}/*/input.*"))), *EXTRA[format]):
        said, losses = read(content, format)
        if losses is None:
            continue
        for variant in VARIANTS[format](content):
            without, left = read(variant.absent, format)
            if left is None:
                continue  # without it nothing can be read
            is_used = without != said or (variant.changed is not None and read(variant.changed, format)[0] != said)
            found[element(variant.path)]["used" if is_used else "unused"] |= fate(losses, left)
    return found


@pytest.mark.parametrize("format", FORMATS)
def test_what_the_result_shows_is_never_counted_as_lost(format: Format) -> None:
    used = {path: fates["used"] - {"mapped", "ignored"} for path, fates in seen(format).items()}

    assert {path: fates for path, fates in used.items() if fates and not path.endswith(DECIDING)} == {}


def mapped_and_idle(format: Format) -> Iterator[str]:
    """Elements that count as mapped and never changed a result, wherever they stand; known by their last two names."""
    used = {ending(path) for path, fates in seen(format).items() if "mapped" in fates["used"]}
    for path, fates in seen(format).items():
        if "mapped" in fates["unused"] and ending(path) not in used | SECOND_CHOICE:
            yield path


def ending(path: str) -> str:
    """The last two names of a path."""
    return "/".join(re.split(r"[./]", path.upper())[-2:])


@pytest.mark.parametrize("format", FORMATS)
def test_what_counts_as_mapped_shows_somewhere(format: Format) -> None:
    assert sorted(mapped_and_idle(format)) == []


def test_a_field_that_nobody_reads_is_missed_by_its_path() -> None:
    _, losses = read(MESSAGE.replace(b"\rPID|1|", b"\rPID|1|").rstrip(b"\r") + b"||19720504|F||2106-3^White^HL70005\rZPX|a|b\r", "hl7v2")

    assert losses is not None
    assert losses.unmapped == {"PID-10": 1, "ZPX": 2}


def test_a_senders_own_names_are_no_paths() -> None:
    _, losses = read(b'{"resourceType":"Patient","id":"1","identifier":[{"value":"4711"}],"MarkedName":"x","name":[{"Marked":1}]}', "fhir")

    assert losses is not None
    assert losses.unmapped == {"Patient.(unknown)": 1, "Patient.name.(unknown)": 1}


def test_every_rule_says_why() -> None:
    rules = load_table("ledger_rules")
    said = {format: {rule for path in GOLDEN.glob(f"{format}/*/input.*") for rule in _rules(path, format)} for format in FORMATS}

    assert set() == set().union(*said.values()) - set(rules)


def _rules(path: Path, format: Format) -> set[str]:
    _, losses = read(path.read_bytes(), format)
    return set(losses.ignored) if losses else set()


def test_every_warning_is_explained() -> None:
    sources = [path.read_text() for folder in ("services/normalizer", "shared/formats") for path in (ROOT / folder).rglob("*.py")]
    said = {code for text in sources for code in re.findall(r"(?:Warning|warn|warnings\.append)\(\s*\"([a-z_]+)\"", text)}
    explained = load_table("warnings")
    said.add("members_left_out")  # by ingest

    assert said == set(explained)
    assert {one["who"] for one in explained.values()} <= {"provider", "operations", "developers", "nobody"}
