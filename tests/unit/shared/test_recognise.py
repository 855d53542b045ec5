"""Formats are told by their bytes; the declared media type decides only where the bytes do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formats.recognise import recognise

CDA = b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"MSH|^~\\&|A|B|C|D|20240101||ADT^A01|1|P|2.5\r", "hl7v2"),
        (b"\x0b\r\nMSH#*~^!A\r", "hl7v2"),
        (b"FHS|^~\\&|A\r", "hl7v2"),
        (b'{"resourceType": "Patient"}', "fhir"),
        (b'\xef\xbb\xbf\n{"resourceType": "Patient"}\n{"resourceType": "Patient"}', "fhir"),
        (b'<?xml version="1.0"?><Patient xmlns="http://hl7.org/fhir"/>', "fhir"),
        (b'{"a": 1}', "json"),
        (CDA, "ccda"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!-- a > b --><?xml-stylesheet href='x'?>\n" + CDA, "ccda"),
        (b'<n1:ClinicalDocument xmlns:n1="urn:hl7-org:v3"/>', "ccda"),
        (b'<x:organizer xmlns:x="urn:hl7-org:v3"/>', "ccda"),
        (b"<!-- cut out --><section><entry/></section>", "ccda"),
        (CDA.decode().encode("utf-16"), "ccda"),
        (b'<?xml version="1.0"?>'.decode().encode("utf-16-le") + CDA.decode().encode("utf-16-le"), "ccda"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "ccda"),  # refused there, with its proper reason
        (b"<catalog><book/></catalog>", "unknown"),
        (b"<!DOCTYPE html><html><body>Hello</body></html>", "text"),
        (b"<p>Hello</p>", "text"),
        (b"%PDF-1.7\n", "pdf"),
        (b"\n\njunk before %PDF-1.4", "pdf"),
        (b"\x89PNG\r\n\x1a\n....", "image"),
        (b"\xff\xd8\xff\xe0", "image"),
        (b"GIF89a", "image"),
        (b"II*\0....", "image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image"),
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0", "image"),
        (b"BM is how this text begins", "text"),
        (b"{\\rtf1\\ansi Hello}", "rtf"),
        ("Größe 178 cm".encode(), "text"),
        ("Größe 178 cm".encode("cp1252"), "text"),
        ("Größe 178 cm".encode("utf-16"), "text"),
        (b"<5 mg/dl is low", "text"),
        (b"MZ\x90\0\x03\0\0\0", "unknown"),
        (b"", "unknown"),
        (b"\xef\xbb\xbf \r\n", "unknown"),
    ],
)
def test_bytes_tell_the_format(content: bytes, expected: str) -> None:
    assert expected == recognise(content)


@pytest.mark.parametrize(
    ("content", "media_type", "expected"),
    [
        (b"<broken", "application/xml; charset=utf-8", "ccda"),
        (b"{broken", "application/fhir+json", "fhir"),
        (b"not json", "application/json", "json"),
        (b"no segment at all", "x-application/hl7-v2+er7", "hl7v2"),
        (b"<b>bold</b>", "text/html", "text"),
        (b"plain words", "application/pdf", "text"),
        (CDA, "text/plain", "ccda"),
        (b"\0\x01\x02", "text/plain", "unknown"),
    ],
)
def test_the_media_type_comes_second(content: bytes, media_type: str, expected: str) -> None:
    assert expected == recognise(content, media_type)


@given(st.binary(max_size=400), st.sampled_from([b"", b"<", b"<?xml", b"\xff\xfe<", b"<!--", b"<!DOCTYPE [", b"BM", b"RIFF"]))
def test_any_bytes_have_a_format(tail: bytes, head: bytes) -> None:
    assert recognise(head + tail) in {"hl7v2", "fhir", "ccda", "pdf", "image", "rtf", "text", "json", "unknown"}
