"""Bad input ends in a reading or a reason, soon, whatever the bytes: nothing raises, nothing hangs, nothing is looked up outside."""

import re
import socket
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from services.ingest.core import take_in
from services.normalizer.offline import as_json, normalize_bytes
from services.normalizer.reading import read_content
from shared.canonical.reading import ProviderProfile, Reading
from shared.formats.split import split
from shared.outcomes import PLAYBOOK, Rejected
from tests.hostile import inputs

PROVIDER = ProviderProfile("hostile", "Europe/Berlin")
SECONDS = 10.0  # far above what any of them needs, on a slow machine too: told apart from a hang only
PLACE = re.compile(r"[A-Za-z0-9.\[\]/ -]{1,80}")  # of a reason: a path, never a sender's words
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # as JSON writes it
FORMATS = ("hl7v2", "fhir", "ccda", "json", "rtf", "text", None)
CASES = [(group, name, make) for group, cases in inputs.GROUPS.items() for name, make in cases()]


@pytest.fixture(autouse=True)
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a document points at, nobody goes there."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a document was followed to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def timed(function: Callable[[], Any], what: str) -> Any:
    """The answer, when it came soon enough."""
    begin = time.process_time()
    answer = function()
    taken = time.process_time() - begin
    assert taken < SECONDS, f"{what}: {taken:.1f} s"
    return answer


def check(reading: Reading) -> None:
    """A reading or a reason that can be stored, sent and shown."""
    assert reading.outcome in ("normalized", "rejected", "skipped")
    assert (reading.reason is None) == (reading.outcome == "normalized")
    if reading.reason is not None:
        assert reading.reason in PLAYBOOK
    for where in (reading.where, *(one.where for one in reading.warnings[:1000])):
        assert where is None or PLACE.fullmatch(where), where
    text = msgspec.json.encode(as_json(reading))
    assert not NUL.search(text)  # PostgreSQL would refuse to store it
    text.decode("utf-8")
    for one in reading.documents:
        assert re.fullmatch(r"[a-z]+:\d{20}:\d{8}T\d{6}\.\d{6}Z:\d\d", one.source_version), one.source_version


@pytest.mark.parametrize(("group", "name", "make"), CASES, ids=[f"{group}-{number}" for number, (group, _, _) in enumerate(CASES)])
def test_bad_input_ends_in_a_reading_or_a_reason(group: str, name: str, make: Callable[[], bytes]) -> None:
    content = make()

    taken = timed(lambda: take_in(content, provider=PROVIDER, media_type=None, patient_key=None, max_parts=10_000), f"{name}: ingest")
    if isinstance(taken, Rejected):
        assert taken.reason in PLAYBOOK
        assert taken.where is None or PLACE.fullmatch(taken.where)
        readings = timed(lambda: normalize_bytes(content, PROVIDER)[:100], f"{name}: offline") if len(content) < inputs.MEGA // 2 else []
    else:
        assert taken
        readings = timed(lambda: [read_content(one.content, PROVIDER, format=one.format) for one in taken[:1000]], f"{name}: normalizer")
    for reading in readings:
        check(reading)


SMALL = [
    (name, make) for group in ("charsets", "references", "dates", "versions", "strings", "files") for name, make in inputs.GROUPS[group]()
]


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_of_one_format_under_the_name_of_another_are_no_accident(format: Any) -> None:
    for name, make in SMALL:
        content = make()
        if len(content) <= 64 << 10:
            check(
                timed(lambda content=content: read_content(content, PROVIDER, format=format, media_type="text/html; charset=utf-7"), name)
            )  # type: ignore[misc]


def test_a_cut_document_of_every_kind_is_no_accident() -> None:
    for whole in (
        inputs.report(),
        inputs.fhir(inputs.bundle(inputs.patient(), inputs.observation())),
        inputs.cda(inputs.section("<b>x</b>")),
        inputs.rtf("{\\b x} y"),
    ):
        for end in range(0, len(whole), 3):
            for reading in normalize_bytes(whole[:end], PROVIDER):
                check(reading)


def test_two_patients_in_one_bundle_are_never_read_as_one() -> None:
    one, two = inputs.patient("1"), inputs.patient("2")
    contained = [inputs.observation(n, subject={"reference": "#p"}, contained=[{**inputs.patient(n), "id": "p"}]) for n in ("1", "2")]
    named = [inputs.observation(n, subject={"identifier": {"system": "CORPUS", "value": f"MRN{n}"}}) for n in ("1", "2")]
    for tree in (
        inputs.bundle(one, inputs.observation("1"), two, inputs.observation("2")),
        inputs.bundle(inputs.bundle(one, inputs.observation("1"), two, inputs.observation("2"))),
        inputs.bundle(inputs.bundle(one, inputs.observation("1")), inputs.bundle(two, inputs.observation("2"))),
        inputs.bundle(*contained),
        inputs.bundle(*named),
    ):
        parts = split(inputs.fhir(tree), "fhir")
        readings = [read_content(part, PROVIDER, format="fhir") for part in parts]

        keys = {document.patient_key for reading in readings for document in reading.documents}
        assert len(keys) == 2, inputs.fhir(tree)[:200]


def test_the_senders_words_are_no_place() -> None:
    for content in (
        inputs.fhir({"resourceType": "Zqxmark Family 19370417", "id": "x"}),
        inputs.fhir({"resourceType": "Patient", "Zqxmark": 1}),
        b"MSH|^~\\&|A|B|C|D|20260101||Zqxmark^Zqxmark|Zqxmark|P|2.5\rZQX|Zqxmark\r",
        b'<Zqxmark xmlns="urn:hl7-org:v3"/>',
        b"<ClinicalDocument xmlns='urn:hl7-org:v3'><Zqxmark></oops>",
        b'{"Zqxmark": nope}',
        b"%PDF-1.4 Zqxmark",
        b"{\\rtf1 Zqxmark \\u99999999999?",
    ):
        for reading in normalize_bytes(content, PROVIDER):
            said = (reading.where or "") + "".join(f"{one.code}{one.where}" for one in reading.warnings)
            assert "zqx" not in said.lower(), (content, said)
