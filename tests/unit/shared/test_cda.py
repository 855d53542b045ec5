"""CDA: hardened parsing, fragments, times, and an identity that every service computes alike."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.canonical.reading import ProviderProfile
from shared.formats.cda import light_identity
from shared.formats.cda_times import read_time
from shared.formats.cda_tree import local_name, parse_cda
from shared.formats.xml import RefusedXML
from shared.identity import PatientIdentifier, document_id, patient_key
from shared.outcomes import Reason

PROVIDER = ProviderProfile("clinic-a", time_zone="America/New_York")


def document(inner: str, attributes: str = "") -> bytes:
    """A ClinicalDocument around `inner`."""
    return f'<ClinicalDocument xmlns="urn:hl7-org:v3"{attributes}>{inner}</ClinicalDocument>'.encode()


def patient(*identifiers: str) -> str:
    """A record target with these id elements."""
    return f"<recordTarget><patientRole>{''.join(identifiers)}</patientRole></recordTarget>"


LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{one} "{f"&a{one - 1};" * 10}">' for one in range(1, 10))
    + ']><ClinicalDocument xmlns="urn:hl7-org:v3">&a9;</ClinicalDocument>'
)
HOSTILE = {
    "billion laughs": (LAUGHS.encode(), Reason.HOSTILE_XML),
    "billion laughs in UTF-16": (LAUGHS.encode("utf-16"), Reason.HOSTILE_XML),
    "document type behind a comment": (b"\xef\xbb\xbf <!-- > --><?pi?>" + LAUGHS.encode(), Reason.HOSTILE_XML),
    "document type alone": (b"<!DOCTYPE ClinicalDocument>" + document(""), Reason.HOSTILE_XML),
    "parameter entity": (b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1/">%p;]><a/>', Reason.HOSTILE_XML),
    "external entity": (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', Reason.HOSTILE_XML),
    "document type without end": (b"<!DOCTYPE a [" * 100_000, Reason.HOSTILE_XML),
    "100k attributes": (document("<title " + " ".join(f'a{one}="1"' for one in range(100_000)) + "/>"), Reason.HOSTILE_XML),
    "100k namespaces": (document("<title " + " ".join(f'xmlns:a{one}="u"' for one in range(100_000)) + "/>"), Reason.HOSTILE_XML),
    "300k levels": (document("<component><section>" * 150_000), Reason.TOO_DEEP),
    "300k levels of a fragment": (b"<section>" * 300_000, Reason.TOO_DEEP),
    "hidden in UTF-7": (b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE a>', Reason.MALFORMED_XML),
    "unknown encoding": (b'<?xml version="1.0" encoding="klingon"?>' + document(""), Reason.MALFORMED_XML),
    "bytes that are not UTF-8": (
        b'<?xml version="1.0" encoding="UTF-8"?>' + document("").replace(b"></", b">\xff</"),
        Reason.MALFORMED_XML,
    ),
    "entity that nobody declared": (document("&who;"), Reason.MALFORMED_XML),
    "cut off": (document("<component><section>")[:-30], Reason.MALFORMED_XML),
    "two documents": (document("") * 2, Reason.MALFORMED_XML),
    "words behind the end": (document("") + b"more", Reason.MALFORMED_XML),
    "nothing": (b"", Reason.MALFORMED_XML),
    "an HL7 v3 message": (b'<PRPA_IN201305UV02 xmlns="urn:hl7-org:v3"/>', Reason.UNSUPPORTED_CONTENT),
    "other XML": (b'<ClinicalDocuments xmlns="urn:other"/>', Reason.UNSUPPORTED_CONTENT),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_is_refused_quickly(name: str) -> None:
    content, reason = HOSTILE[name]
    started = time.perf_counter()

    with pytest.raises(RefusedXML) as refusal:
        parse_cda(content)

    assert reason == refusal.value.reason
    assert time.perf_counter() - started < 1


def test_a_refusal_names_the_line() -> None:
    with pytest.raises(RefusedXML) as refusal:
        parse_cda(b"<ClinicalDocument xmlns='urn:hl7-org:v3'>\n<id>\n</ClinicalDocument>")

    assert refusal.value.where == "line 3"


def test_line_numbers_hold_in_a_fragment() -> None:
    with pytest.raises(RefusedXML) as refusal:
        parse_cda(b"<?xml version='1.0'?>\n<!-- cut\nout -->\n<section sdtc:a='1'>\n<id>\n</section>")

    assert refusal.value.where == "line 6"


def test_an_xinclude_is_not_followed() -> None:
    cda = parse_cda(
        document('<title xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/hostname" parse="text"/></title>')
    )

    assert "".join(str(one) for one in cda.root.itertext()) == ""


def test_blank_lines_before_the_declaration_and_nul_bytes_at_the_end_do_no_harm() -> None:
    content = b"\r\n\n<?xml version='1.0' encoding='utf-8'?>\n" + document("") + b"\n\0\0"

    assert local_name(parse_cda(content).root) == "ClinicalDocument"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
def test_declared_encodings_are_read(encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>Diät</title></ClinicalDocument>'

    assert [str(one) for one in parse_cda(text.encode(encoding)).root.itertext()] == ["Diät"]


def test_a_large_attachment_does_not_lift_the_depth_limit() -> None:
    large = b"<text>" + b"A" * 11_000_000 + b"</text>"

    assert local_name(parse_cda(document("").replace(b"></", b">" + large + b"</")).root) == "ClinicalDocument"
    with pytest.raises(RefusedXML) as refusal:
        parse_cda(document("").replace(b"></", b">" + large + b"<a>" * 300 + b"</a>" * 300 + b"</"))
    assert refusal.value.reason == Reason.TOO_DEEP


@pytest.mark.parametrize(
    ("content", "root"),
    [
        (b'<section><entry><observation xsi:type="a" sdtc:b="c"/></entry></section>', "section"),
        (b"<cda:section><cda:entry/></cda:section>", "section"),
        (b"<entry/>\n<entry/>", "fragment"),
        (b'<recordTarget xmlns="urn:hl7-org:v3"/>', "recordTarget"),
    ],
)
def test_fragments_are_read_with_a_warning(content: bytes, root: str) -> None:
    cda = parse_cda(content)

    assert (root, True) == (local_name(cda.root), cda.is_fragment)
    assert "header_missing" in {one.code for one in cda.warnings}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1980", "1980"),
        ("198002", "1980-02"),
        ("19800229", "1980-02-29"),
        ("2024030107", "2024-03-01T07-05:00"),
        ("202403010715+0100", "2024-03-01T07:15+01:00"),
        ("20240301071530.250-0500", "2024-03-01T07:15:30.250-05:00"),
        ("20240701071530", "2024-07-01T07:15:30-04:00"),
        ("20240301071530Z", "2024-03-01T07:15:30Z"),
        ("2024-03-01T07:15:30+01:00", "2024-03-01T07:15:30+01:00"),
        ("20240301-0500", "2024-03-01"),
        ("20240231", "2024-02"),
        ("20240301250000", "2024-03-01"),
        ("202403010", "2024-03-01"),
        ("00000101", None),
        ("-08", None),
        ("UNK", None),
        ("", None),
        ("2" * 60, None),
    ],
)
def test_times_keep_their_precision_and_zone(written: str, expected: str | None) -> None:
    read = read_time(written, "America/New_York")

    assert expected == (read.text if read else None)


@given(st.text(alphabet="0123456789.+-:TZ ", max_size=30))
def test_any_time_is_read_or_not(written: str) -> None:
    read = read_time(written, "Europe/Zurich")

    assert read is None or read.moment.tzinfo is not None


def test_set_id_names_the_document_and_version_number_orders_it() -> None:
    first = light_identity(
        document(
            '<id root="1.2" extension="a"/><effectiveTime value="20240301"/><setId root="1.3" extension="s"/><versionNumber value="1"/>'
        ),
        PROVIDER,
    )
    second = light_identity(
        document(
            '<id root="1.2" extension="b"/><effectiveTime value="20240201"/><setId root="1.3" extension="s"/><versionNumber value="2"/>'
        ),
        PROVIDER,
    )

    assert first.document_id == second.document_id == document_id("clinic-a", "urn:oid:1.3|s")
    assert (first.source_version or "") < (second.source_version or "")
    assert first.source_version == "cda:00000000000000000001:20240301T050000.000000Z:00"
    assert first.control_id == "urn:oid:1.2|a"


def test_without_a_set_id_the_replaced_document_gives_the_name() -> None:
    parent = light_identity(document('<id root="1.2" extension="a"/>'), PROVIDER)
    related = '<relatedDocument typeCode="RPLC"><parentDocument><id root="1.2" extension="a"/></parentDocument></relatedDocument>'
    replacing = f'<id root="1.2" extension="b"/>{related}'
    transformed = replacing.replace("RPLC", "XFRM")

    assert parent.document_id == light_identity(document(replacing), PROVIDER).document_id
    assert document_id("clinic-a", "urn:oid:1.2|b") == light_identity(document(transformed), PROVIDER).document_id


def test_an_addendum_is_a_document_of_its_own() -> None:
    addendum = (
        '<id root="1.2" extension="b"/><setId root="1.3" extension="s"/><relatedDocument typeCode="APND"><parentDocument>'
        '<id root="1.2" extension="a"/><setId root="1.3" extension="s"/></parentDocument></relatedDocument>'
    )

    assert document_id("clinic-a", "urn:oid:1.2|b") == light_identity(document(addendum), PROVIDER).document_id


def test_the_configured_authority_names_the_patient_and_a_social_security_number_comes_last() -> None:
    content = document(
        patient('<id root="2.16.840.1.113883.4.1" extension="999"/>', '<id root="1.9" extension="A"/>', '<id root="1.8" extension="B"/>')
    )
    configured = ProviderProfile("clinic-a", authorities=("1.8",))

    assert patient_key("clinic-a", PatientIdentifier("urn:oid:1.9", "A")) == light_identity(content, PROVIDER).patient_key
    assert patient_key("clinic-a", PatientIdentifier("urn:oid:1.8", "B")) == light_identity(content, configured).patient_key


def test_a_patient_without_a_number_is_known_by_the_document() -> None:
    look = light_identity(document('<id root="1.2" extension="a"/>' + patient('<id root="1.9"/>', '<id nullFlavor="UNK"/>')), PROVIDER)

    assert look.document_id == look.patient_key


def test_two_patients_are_nobody() -> None:
    content = document(patient('<id root="1.9" extension="A"/>') + patient('<id root="1.9" extension="B"/>'))

    assert light_identity(content, PROVIDER).patient_key is None


def test_what_cannot_be_read_has_no_identity() -> None:
    assert light_identity(b"<broken", PROVIDER) == (None, None, None, None)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_light_look(tail: bytes) -> None:
    light_identity(document("").removesuffix(b"</ClinicalDocument>") + tail, PROVIDER)
