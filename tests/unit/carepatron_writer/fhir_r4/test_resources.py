"""DocumentReference and Binary as we write them; the published models of FHIR are the oracle."""

import base64
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.binary import Binary
from fhir.resources.R4B.documentreference import DocumentReference
from hypothesis import given
from hypothesis import strategies as st

from services.carepatron_writer.platforms.fhir_r4.heads import binary_behind, head_of
from services.carepatron_writer.platforms.fhir_r4.resources import (
    TYPES,
    Making,
    Relation,
    binary_id,
    binary_of,
    document_reference,
    facts_of,
    master_of,
    replaceable,
    superseded,
    withdrawn,
)
from services.carepatron_writer.platforms.fhir_r4.sandbox.rules import first_fault
from services.carepatron_writer.platforms.fhir_r4.validation import fault_in
from shared.canonical.models import DocumentType
from tests.contract.writing_fakes import NEWER, VERSION, an_upload

CREATED = "2026-11-23T20:58:00.000Z"
ID = "0f6c0000-0000-5000-8000-000000000001"
MAKING = Making("77", CREATED)


def _made(making: Making = MAKING, **said: Any) -> dict[str, Any]:
    return document_reference(an_upload(ID, **said), making)


def test_a_document_says_all_that_a_server_may_ask_for() -> None:
    body = _made(supersedes="0f6c0000-0000-5000-8000-000000000009", making=replace(MAKING, replaced=(Relation("5", "x"),)))
    attachment = body["content"][0]["attachment"]

    assert body["identifier"] == [{"system": "urn:healthrecords:document-id", "value": ID}]
    assert body["masterIdentifier"] == {"system": "urn:ietf:rfc:3986", "value": master_of(ID, VERSION)}
    assert (body["status"], body["docStatus"], body["date"], body["subject"]) == ("current", "final", CREATED, {"reference": "Patient/77"})
    assert body["type"]["coding"][0] == {"system": "http://loinc.org", "code": "11502-2", "display": "Laboratory report"}
    assert body["category"][0]["coding"][0]["code"] == "clinical-note"
    assert (body["author"], body["custodian"]) == ([{"display": "Dr A. Khan"}], {"display": "Harbour GP"})
    assert body["context"] == {"period": {"start": "2026-11-02"}}
    assert body["relatesTo"] == [
        {
            "code": "replaces",
            "target": {"reference": "DocumentReference/5", "identifier": {"system": "urn:healthrecords:document-id", "value": "x"}},
        }
    ]
    assert attachment["contentType"] == "text/plain; charset=utf-8"
    assert (attachment["size"], base64.b64decode(attachment["data"])) == (5, b"text\n")
    assert base64.b64decode(attachment["hash"]) == hashlib.sha1(b"text\n").digest()
    assert "LDL 4.9 mmol/L H" in body["text"]["div"]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"authors": (), "source": {"organization": None}},
        {"date": None},
        {"type_coding": None},
        {"type_coding": {"system": "http://x y", "code": "a  b", "display": None}},
        {"status": "preliminary"},
        {"status": "superseded"},
        {"dietary": ("No <peanuts> & \"nuts\"",), "abnormal": ()},
        {"media_type": "application/pdf"},
        {"supersedes": "x"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("binary", [None, "Binary/5"])
def test_what_we_write_is_fhir(said: dict[str, Any], binary: str | None) -> None:
    body = _made(replace(MAKING, binary=binary), **said)

    assert fault_in(body) is None
    assert first_fault(body, "DocumentReference") is None
    assert DocumentReference.model_validate(body).status == body["status"]


def test_a_binary_is_fhir() -> None:
    upload = an_upload(ID, media_type="application/pdf")

    assert Binary.model_validate(binary_of(upload)).contentType == "application/pdf"
    assert first_fault(binary_of(upload), "Binary") is None
    assert first_fault({"resourceType": "Binary", "id": binary_id(upload), "contentType": "text/plain"}, "Binary") is None


@given(
    st.builds(
        an_upload,
        st.just(ID),
        title=st.text(),
        authors=st.lists(st.text(), max_size=3).map(tuple),
        date=st.none() | st.text(),
        abnormal=st.lists(st.text(), max_size=2).map(tuple),
    )
)
def test_what_passes_our_check_passes_a_strict_server(upload: Any) -> None:
    body = document_reference(upload, MAKING)

    if fault_in(body) is None:
        assert first_fault(body, "DocumentReference") is None


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2026", {"start": "2026"}),
        ("2026-11", {"start": "2026-11"}),
        ("2026-11-02", {"start": "2026-11-02"}),
        ("2026-11-02T08:15:00Z", {"start": "2026-11-02T08:15:00Z"}),
        ("2026-11-02T08:15:00.123+01:00", {"start": "2026-11-02T08:15:00.123+01:00"}),
        ("2026-11-02T08:15:00", {"start": "2026-11-02"}),
        ("2026-11-02T08:15+01:00", {"start": "2026-11-02"}),
        ("last week", {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}),
        (None, {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}),
    ],
)
def test_the_clinical_date_is_said_as_precisely_as_fhir_can(date: str | None, expected: dict[str, Any]) -> None:
    assert _made(date=date)["context"]["period"] == expected


def test_every_type_has_a_loinc_code() -> None:
    assert set(TYPES) == {str(one) for one in DocumentType}
    assert all(_made(type=str(one), type_coding=None)["type"]["coding"][0]["system"] == "http://loinc.org" for one in DocumentType)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"system": "http://loinc.org", "code": "24331-1", "display": "Lipid panel"}, ["24331-1"]),
        ({"system": "urn:oid:1.2.3", "code": "LIP", "display": "Lipids"}, ["11502-2", "LIP"]),
        ({"system": None, "code": None, "display": "Lipids"}, ["11502-2"]),
        (None, ["11502-2"]),
    ],
)
def test_the_sources_own_coding_stays(given: Any, expected: list[str]) -> None:
    assert [one["code"] for one in _made(type_coding=given)["type"]["coding"]] == expected


def test_identity_does_not_change_with_the_version_and_the_master_identifier_does() -> None:
    one, other = _made(), _made(version=NEWER)

    assert one["identifier"] == other["identifier"]
    assert one["masterIdentifier"] != other["masterIdentifier"]
    assert one["identifier"][0]["system"] != one["masterIdentifier"]["system"]  # the search parameter covers both


@pytest.mark.parametrize("change", [{"title": "Other"}, {"status": "preliminary"}, {"abnormal": ()}, {"content": b"x", "sha256": "x"}])
def test_the_digest_of_facts_changes_with_every_fact(change: dict[str, Any]) -> None:
    upload = an_upload(ID)

    assert facts_of(upload) == facts_of(replace(upload, version=NEWER))
    assert facts_of(upload) != facts_of(replace(upload, **change))


def test_a_head_says_what_was_written() -> None:
    stored = {**_made(replace(MAKING, count=3)), "id": "9", "meta": {"versionId": "abc"}}
    head = head_of(stored)

    assert head is not None
    assert (head.id, head.etag, head.document_id, head.version, head.count) == ("9", 'W/"abc"', ID, VERSION, 3)
    assert (head.facts, head.sha256, head.patient, head.created) == (facts_of(an_upload(ID)), an_upload(ID).sha256, "77", CREATED)
    assert head_of(stored, 'W/"of the answer"').etag == 'W/"of the answer"'  # type: ignore[union-attr]
    assert head_of({**stored, "identifier": [{"system": "urn:else", "value": ID}]}) is None


@pytest.mark.parametrize(
    "subject", ["Patient/77", "https://server.example/fhir/Patient/77", "https://server.example/fhir/Patient/77/_history/2"]
)
def test_a_patient_is_known_however_the_server_writes_the_reference(subject: str) -> None:
    head = head_of({**_made(), "id": "9", "subject": {"reference": subject}})

    assert head is not None
    assert head.patient == "77"


def test_a_withdrawal_is_a_partial_body() -> None:
    stored = {**_made(), "id": "9", "meta": {"versionId": "4", "lastUpdated": CREATED, "tag": [{"code": "theirs"}]}}
    body = withdrawn(stored, NEWER)

    assert (body["status"], body["id"], body["subject"], body["meta"]) == (
        "entered-in-error",
        "9",
        stored["subject"],
        {"tag": [{"code": "theirs"}]},
    )
    assert "data" not in body["content"][0]["attachment"]
    assert "dietary" not in str(body["extension"])
    assert fault_in(body) is None
    assert first_fault(body, "DocumentReference") is None
    head = head_of({**body, "id": "9"})
    assert head is not None
    assert (head.version, head.is_withdrawn, head.facts) == (NEWER, True, facts_of(an_upload(ID)))


def test_links_go_back_as_we_wrote_them() -> None:
    stored = {**_made(replace(MAKING, binary="Binary/5")), "id": "9"}
    attachment = stored["content"][0]["attachment"]
    signed = {**stored, "content": [{"attachment": {**attachment, "url": "https://elsewhere.example/a?Expires=1"}}]}

    assert binary_behind(signed["content"][0]["attachment"]) == "5"
    assert binary_behind({"url": "https://server.example/fhir/Binary/6"}) == "6"
    assert replaceable(signed)["content"] == stored["content"]
    assert superseded(signed)["status"] == "superseded"
    assert withdrawn(signed, NEWER)["content"][0]["attachment"]["url"] == "Binary/5"


def test_a_binarys_own_id_is_the_same_for_the_same_bytes_only() -> None:
    upload = an_upload(ID)

    assert binary_id(upload) == binary_id(replace(upload, title="Other"))
    assert len({binary_id(one) for one in (upload, replace(upload, version=NEWER), replace(upload, sha256="x"))}) == 3
    assert not binary_id(upload).isdigit()
