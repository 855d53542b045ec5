import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.ingest import splitting
from services.ingest.core import LOOKS, Part, is_blank, named_patient, publishing_key, record_key, take_in
from services.ingest.settings import Settings
from services.ingest.splitting import GuardedSplitter
from shared.canonical.reading import ProviderProfile
from shared.identity import PatientIdentifier, digest, document_id, patient_key
from shared.outcomes import Reason, Rejected

PROVIDER = ProviderProfile("lab-1")
PATIENT = "2f0c2a3e-6f1b-5a50-8d53-0e9c3c0a1b11"
ADT = "MSH|^~\\&|GP|HARBOUR|||20261102081500||ADT^A04|{0}|P|2.5\rPID|1||{0}^^^HARBOUR^MR||Test^Synthetic\r"
CDA = b"""<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2.3" extension="d1"/>
<recordTarget><patientRole><id root="1.2.3.4" extension="p1"/></patientRole></recordTarget></ClinicalDocument>"""
FHIR = {"resourceType": "Patient", "id": "p1", "identifier": [{"system": "urn:oid:1.2.3.4", "value": "p1"}]}


def take(content: bytes, media_type: str | None = None, patient: str | None = None, max_parts: int = 100) -> list[Part] | Rejected:
    return take_in(content, provider=PROVIDER, media_type=media_type, patient_key=patient, max_parts=max_parts)


def parts(content: bytes, **given: Any) -> list[Part]:
    taken = take(content, **given)
    assert isinstance(taken, list)
    return taken


def key_of(system: str, value: str) -> str:
    return patient_key("lab-1", PatientIdentifier(system, value))


class TestIdentifying:
    def test_an_hl7_message(self) -> None:
        (part,) = parts(ADT.format(7).encode())

        assert (part.number, part.format, part.patient_key, part.control_id) == (0, "hl7v2", key_of("HARBOUR", "7"), "7")
        assert part.sha256 == digest(part.content)

    def test_a_cda_document(self) -> None:
        (part,) = parts(CDA)

        assert (part.format, part.patient_key, part.content) == ("ccda", key_of("1.2.3.4", "p1"), CDA)
        assert part.document_id is not None

    def test_a_fhir_resource(self) -> None:
        content = json.dumps(FHIR).encode()
        (part,) = parts(content)

        assert (part.format, part.patient_key, part.content) == ("fhir", key_of("1.2.3.4", "p1"), content)

    @pytest.mark.parametrize(
        ("content", "format"),
        [(b"%PDF-1.7 x", "pdf"), (b"\x89PNG\r\n\x1a\n123", "image"), (b"{\\rtf1 x}", "rtf"), (b"A letter.", "text"), (b'{"a": 1}', "json")],
    )
    def test_a_file_is_known_by_its_bytes_and_its_patient_by_the_publisher(self, content: bytes, format: str) -> None:
        (part,) = parts(content, patient=PATIENT)

        assert (part.format, part.patient_key, part.document_id) == (format, PATIENT, document_id("lab-1", f"sha256:{digest(content)}"))

    def test_what_the_content_says_counts_more_than_the_publisher(self) -> None:
        assert key_of("HARBOUR", "7") == parts(ADT.format(7).encode(), patient=PATIENT)[0].patient_key

    @pytest.mark.parametrize(
        "subject", ["MRN-12345", "", None, "{2f0c2a3e-6f1b-5a50-8d53-0e9c3c0a1b11}", "2f0c2a3e6f1b5a508d530e9c3c0a1b11"]
    )
    def test_only_a_uuid_names_a_patient(self, subject: str | None) -> None:
        assert named_patient(subject) is None

    def test_the_key_is_the_patient_else_the_document_else_the_bytes(self) -> None:
        part = Part(0, b"x", "text", PATIENT, "d", None, None, digest(b"x"))

        assert [PATIENT, "d", document_id("lab-1", f"sha256:{digest(b'x')}")] == [
            record_key(one, "lab-1") for one in (part, part._replace(patient_key=None), part._replace(patient_key=None, document_id=None))
        ]

    def test_our_doors_publish_under_the_key_that_the_record_gets_later(self) -> None:
        keys = [
            publishing_key(content, provider=PROVIDER, media_type=None, patient_key=patient)
            for content, patient in ((ADT.format(7).encode(), None), (b"text", PATIENT), (bytes(range(256)), None), (b"", None))
        ]

        assert keys == [key_of("HARBOUR", "7"), PATIENT, None, None]


class TestSplitting:
    def test_messages_come_out_one_by_one(self) -> None:
        taken = parts("".join(ADT.format(number) for number in range(3)).encode())

        assert [(part.number, part.control_id) for part in taken] == [(0, "0"), (1, "1"), (2, "2")]
        assert [key_of("HARBOUR", str(number)) for number in range(3)] == [part.patient_key for part in taken]

    def test_resources_on_lines_come_out_one_by_one(self) -> None:
        taken = parts(b"\n".join(json.dumps({**FHIR, "id": f"p{number}"}).encode() for number in range(3)))

        assert [part.number for part in taken] == [0, 1, 2]

    def test_a_broken_message_does_not_hold_the_others(self) -> None:
        taken = parts(("BHS|^~\\&|\r" + ADT.format(1) + "MSH|broken\r" + ADT.format(2) + "BTS|3\r").encode())

        assert {"1", "2"} <= {part.control_id for part in taken}
        assert any(b"broken" in part.content for part in taken)

    def test_every_byte_of_a_single_message_is_kept(self) -> None:
        content = ADT.format(1).replace("\r", "\r\n").encode("latin-1") + b"NTE|||\xe9\r\n"

        assert digest(parts(content)[0].content) == parts(content)[0].sha256
        assert b"\xe9" in parts(content)[0].content


class TestRefusing:
    @pytest.mark.parametrize("content", [b"", b" \r\n\t", b"\xef\xbb\xbf", b"\xff\xfe\x20\x00", b"\x0b\x1c\r", bytes(100)])
    def test_nothing_in_it(self, content: bytes) -> None:
        assert is_blank(content)
        assert take(content) == Rejected(Reason.EMPTY_CONTENT)

    @pytest.mark.parametrize("content", [bytes(range(256)), b"MZ\x90\x00\x03" * 50])
    def test_unknown_bytes(self, content: bytes) -> None:
        assert take(content) == Rejected(Reason.UNKNOWN_FORMAT)

    def test_a_broken_package(self) -> None:
        assert take(b"PK\x03\x04\x14\x00\x08\x00" * 20) == Rejected(Reason.MALFORMED_DOCUMENT, "zip")

    def test_too_many_parts(self) -> None:
        content = "".join(ADT.format(number) for number in range(4)).encode()

        assert take(content, max_parts=3) == Rejected(Reason.TOO_MANY_PARTS, "part[3]")
        assert len(parts(content, max_parts=4)) == 4


def hostile() -> dict[str, bytes]:
    return {
        "deep json": b'{"resourceType":"Bundle","entry":' + b"[" * 100_000,
        "deep closed json": b'{"resourceType":"Bundle","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "broken json": b'{"resourceType": "Patient", ',
        "not a number": b'{"resourceType": "Patient", "x": NaN}',
        "huge number": b'{"resourceType": "Patient", "x": ' + b"9" * 200_000 + b"}",
        "wrong types": b'{"resourceType": ["Patient"], "identifier": {"value": []}, "subject": 7}',
        "odd resource": b'{"resourceType": "Patient", "identifier": [null, 7, {"value": 8}], "meta": [], "id": {}}',
        "laughs": b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><ClinicalDocument xmlns="urn:hl7-org:v3">&b;</ClinicalDocument>',
        "deep xml": b'<ClinicalDocument xmlns="urn:hl7-org:v3">' + b"<a>" * 300_000,
        "cut xml": CDA[: len(CDA) // 2],
        "msh only": b"MSH|^~\\&|",
        "odd separators": b"MSH#*~#x\rPID#1##7***A*MR\r",
        "equal separators": b"MSH|||||\rPID|||\r",
        "no separators": b"MSH|",
        "many segments": b"MSH|^~\\&|A\r" + b"OBX|1\r" * 100_000,
        "many repetitions": b"MSH|^~\\&|A\rPID|1||" + b"1^^^A^MR~" * 100_000 + b"\r",
        "long field": b"MSH|^~\\&|A\rPID|1||" + b"1" * 1_000_000 + b"\r",
        "utf-16": ADT.format(1).encode("utf-16"),
        "nul inside": ADT.format("1\x00").encode(),
        "two patients": (ADT.format(1) + "PID|2||2^^^HARBOUR^MR\r").encode(),
        "formula": ADT.format("=cmd|x").encode(),
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_content_is_taken_or_refused_and_never_raises(name: str) -> None:
    content = hostile()[name]
    began = time.monotonic()
    taken = take(content)

    assert time.monotonic() - began < 5
    assert isinstance(taken, Rejected) or all(isinstance(part, Part) for part in taken)


@pytest.mark.parametrize("format", LOOKS)
@pytest.mark.parametrize("name", hostile())
def test_no_look_raises_whatever_it_is_given(format: Any, name: str) -> None:
    LOOKS[format](hostile()[name], PROVIDER)


class TestGuardedSplitter:
    def use(self, act: Callable[[GuardedSplitter], Awaitable[Any]], **settings: Any) -> Any:
        async def run() -> Any:
            splitter = GuardedSplitter(Settings(**settings))
            try:
                return await act(splitter)
            finally:
                await splitter.aclose()

        return asyncio.run(run())

    def test_large_content_gives_the_same_parts_as_small(self) -> None:
        content = "".join(ADT.format(number) for number in range(50)).encode()

        apart = self.use(lambda splitter: splitter.split(content, PROVIDER, None, None), inline_bytes=10)

        assert apart == take(content)

    def test_content_that_takes_too_long_is_refused_and_the_next_one_is_read(self) -> None:
        slow = b"MSH|^~\\&|A\r" * 200_000

        async def act(splitter: GuardedSplitter) -> Any:
            refused = await splitter.split(slow, PROVIDER, None, None)
            object.__setattr__(splitter._isolated, "_seconds", 30.0)
            return refused, await splitter.split(b"MSH|" + b"x" * 100, PROVIDER, None, None)

        refused, taken = self.use(act, inline_bytes=10, split_seconds=0.01)

        assert refused == Rejected(Reason.PARSE_TIMEOUT)
        assert isinstance(taken, list)

    def test_small_content_needs_no_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Forbidden:
            def __init__(self, *_: object, **__: object) -> None:
                pass

            async def aclose(self) -> None:
                pass

        monkeypatch.setattr(splitting, "Isolated", Forbidden)

        assert len(self.use(lambda splitter: splitter.split(b"text", PROVIDER, None, None))) == 1
