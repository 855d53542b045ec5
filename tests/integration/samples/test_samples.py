"""The samples of other systems, where their folder is at hand (`HEALTHCARE_RECORDS_SAMPLES`): read where they lie, never copied."""

import os
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from services.ingest.core import take_in
from services.normalizer.offline import as_json, normalize_bytes
from shared.canonical.reading import ProviderProfile, Reading

ROOT = Path(__file__).parents[3]
SAMPLES = Path(os.environ.get("HEALTHCARE_RECORDS_SAMPLES", ROOT.parent / "shared" / "samples"))
ABOUT = {"SOURCES.md", ".gitattributes"}
PROVIDER = ProviderProfile("samples", time_zone="Pacific/Auckland")
FACTS: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "facts.toml").read_text(encoding="utf-8"))


def samples() -> list[Path]:
    """Every sample; the test is skipped where there is none."""
    found = sorted(path for path in SAMPLES.rglob("*") if path.is_file() and path.name not in ABOUT) if SAMPLES.is_dir() else []
    if not found:
        pytest.skip("samples folder absent")
    return found


def seen(readings: list[Reading]) -> dict[str, Any]:
    """What the facts speak of, of the first reading; outcomes of all."""
    first = readings[0]
    patient = first.patients[0] if first.patients else None
    name = patient.name if patient else None
    allergies = [one for one in patient.medical_history if one.kind == "allergy"] if patient else []
    diet = [one for one in patient.dietary_preferences if one.kind in ("allergy", "intolerance")] if patient else []
    documents = [one for reading in readings[:1] for one in reading.documents]
    return {
        "outcomes": [" ".join(filter(None, (one.outcome, one.reason))) for one in readings],
        "family": (name.family if name else None) or "",
        "given": name.given if name else [],
        "birth_date": (patient.birth_date if patient else None) or "",
        "documents": [one.type for one in documents],
        "statuses": [one.status for one in documents],
        "authors": [author for one in documents for author in one.authors],
        "results": sum(len(one.content.results) for one in documents),
        "attachments": sum(len(one.content.attachments) for one in documents),
        "allergies": [f"{'!' * one.negated}{one.code.code if one.code else one.text}" for one in diet],
        "history_allergies": len(allergies),
        "negated_history_allergies": sum(one.negated for one in allergies),
    }


def test_every_sample_ends_in_a_reading_or_a_reason_within_a_second() -> None:
    slow: list[str] = []
    silent: list[str] = []
    for path in samples():
        content = path.read_bytes()
        begin = time.perf_counter()
        readings = normalize_bytes(content, PROVIDER)
        if time.perf_counter() - begin > 1:
            slow.append(path.name)
        if not readings or any(one.outcome != "normalized" and one.reason is None for one in readings):
            silent.append(path.name)
        for one in readings:
            as_json(one)

    assert (slow, silent) == ([], [])


def test_the_light_look_of_ingest_agrees_with_the_readers() -> None:
    otherwise: list[str] = []
    for path in samples():
        content = path.read_bytes()
        readings = normalize_bytes(content, PROVIDER)
        taken = take_in(content, provider=PROVIDER, media_type=None, patient_key=None, max_parts=1000)
        if not isinstance(taken, list):
            otherwise += [path.name] if any(one.outcome == "normalized" for one in readings) else []
            continue
        for part, reading in zip(taken, readings, strict=True):
            patients = [one.patient_key for one in reading.patients] or [part.patient_key]
            documents = [one.document_id for one in reading.documents] or [part.document_id]
            if part.patient_key not in (None, patients[0]) or part.document_id not in (None, documents[0]):
                otherwise.append(f"{path.name}[{part.number}]")

    assert otherwise == []


@pytest.mark.parametrize("name", FACTS)
def test_a_sample_says_what_people_find_in_it(name: str) -> None:
    samples()
    facts = dict(FACTS[name])
    readings = normalize_bytes((SAMPLES / name).read_bytes(), PROVIDER)
    warned = {one.code for one in readings[0].warnings}
    missed = set(facts.pop("warnings", [])) - warned
    facts.setdefault("outcomes", ["normalized"])

    assert missed == set()
    assert {key: value for key, value in seen(readings).items() if key in facts} == facts
