"""Packages: what is inside comes out within limits; what no honest sender packs is refused."""

import base64
import gzip
import io
import json
import stat
import struct
import tarfile
import zipfile
from email.message import EmailMessage

import pytest

from services.ingest.core import take_in
from services.normalizer.offline import normalize_bytes
from shared.canonical.reading import ProviderProfile
from shared.formats import packages
from shared.formats.packages import RefusedPackage, unpack
from shared.identity import PatientIdentifier, patient_key
from shared.outcomes import Reason

PROVIDER = ProviderProfile("clinic-a")
REPORT = (
    b"MSH|^~\\&|LAB|NORTH|HR|HR|20261102081500+0100||ORU^R01^ORU_R01|G1|P|2.5.1\rPID|1||4711^^^NORTH^MR||Sundqvist^Alma\r"
    b"OBR|1|P1|F1^NORTH|718-7^Hemoglobin^LN|||20261102\rOBX|1|NM|718-7^Hemoglobin^LN||13.20|g/dL|||||F\r"
)
PDF_LIKE = b"A letter about nobody in particular."
METADATA = """<SubmitObjectsRequest xmlns="urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0" xmlns:r="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0">
<r:RegistryObjectList><r:ExtrinsicObject id="d1" mimeType="text/plain">
<r:Slot name="URI"><r:ValueList><r:Value>DOC1.TXT</r:Value></r:ValueList></r:Slot>
<r:Slot name="sourcePatientId"><r:ValueList><r:Value>4711^^^&amp;2.999.5&amp;ISO</r:Value></r:ValueList></r:Slot>
</r:ExtrinsicObject></r:RegistryObjectList></SubmitObjectsRequest>"""


def zipped(*members: tuple[str, bytes]) -> bytes:
    """A zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def tarred(*members: tuple[str, bytes]) -> bytes:
    """A tar file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def mail(*attachments: tuple[bytes, str, str]) -> bytes:
    """A message with a covering note and attachments."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "lab@example.org", "clinic@example.org", "Results"
    message.set_content("Please find the results attached.")
    for content, kind, name in attachments:
        main, _, sub = kind.partition("/")
        message.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return message.as_bytes()


def inside(content: bytes) -> list[bytes]:
    """The documents of a package."""
    found = unpack(content)
    assert found is not None
    return [one.content for one in found.members]


def refused(content: bytes) -> Reason:
    """Why a package is not unpacked."""
    with pytest.raises(RefusedPackage) as error:
        unpack(content)
    return error.value.reason


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(REPORT),
        gzip.compress(REPORT[:50]) + gzip.compress(REPORT[50:]),
        zipped(("a/report.hl7", REPORT)),
        tarred(("report.hl7", REPORT)),
        gzip.compress(tarred(("report.hl7", REPORT))),
        zipped(("__MACOSX/x", b"x"), (".hidden", b"x"), ("style.xsl", b"<x/>"), ("report.hl7", REPORT)),
        mail((REPORT, "application/octet-stream", "report.hl7")),
        base64.b64encode(REPORT),
        base64.encodebytes(REPORT),
        json.dumps({"id": 7, "payload": {"message": REPORT.decode()}}).encode(),
        json.dumps([{"data": base64.b64encode(REPORT).decode()}]).encode(),
    ],
)
def test_what_is_inside_comes_out(content: bytes) -> None:
    assert inside(content) == [REPORT]


@pytest.mark.parametrize(
    "content",
    [
        REPORT,
        b"",
        PDF_LIKE,
        b'{"resourceType":"Patient","id":"MSH"}',
        json.dumps({"one": REPORT.decode(), "two": REPORT.decode()}).encode(),
        json.dumps({"note": "MSH is a segment"}).encode(),
        base64.b64encode(b"only words that are no document at all"),
        zipped(("[Content_Types].xml", b"<x/>"), ("word/document.xml", b"<x/>")),
        b"Content-Type: is a header, she wrote\r\n\r\nand nothing more",
    ],
)
def test_what_is_no_package_stays_as_it_is(content: bytes) -> None:
    assert unpack(content) is None


def climbing() -> bytes:
    """A name that leads out of the folder."""
    return zipped(("../../tmp/report.hl7", REPORT))


def linking() -> bytes:
    """A link to a file of the machine."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


def tar_link() -> bytes:
    """The same in a tar file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    return out.getvalue()


def locked() -> bytes:
    """A zip file whose member says that it is encrypted."""
    content = bytearray(zipped(("report.hl7", REPORT)))
    for head, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(head) + at
        content[place : place + 2] = struct.pack("<H", 1)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (climbing(), Reason.HOSTILE_PACKAGE),
        (linking(), Reason.HOSTILE_PACKAGE),
        (tar_link(), Reason.HOSTILE_PACKAGE),
        (tarred(("/etc/x", REPORT)), Reason.HOSTILE_PACKAGE),
        (locked(), Reason.ENCRYPTED),
        (mail((b"x" * 50, "application/pkcs7-mime", "smime.p7m")), Reason.ENCRYPTED),
        (gzip.compress(bytes(packages.MAX_BYTES + 1)), Reason.CONTENT_TOO_LARGE),
        (zipped(*((str(number), bytes(20 << 20)) for number in range(2))), Reason.CONTENT_TOO_LARGE),
        (zipped(*((str(number), b"x") for number in range(packages.MAX_MEMBERS + 1))), Reason.TOO_MANY_PARTS),
        (tarred(*((str(number), b"x") for number in range(packages.MAX_MEMBERS + 1))), Reason.TOO_MANY_PARTS),
        (gzip.compress(gzip.compress(gzip.compress(gzip.compress(REPORT)))), Reason.TOO_DEEP),
        (gzip.compress(REPORT)[:-12], Reason.MALFORMED_DOCUMENT),
        (zipped(("report.hl7", REPORT))[:-30], Reason.MALFORMED_DOCUMENT),
        (zipped(("report.hl7", REPORT)).replace(b"PK\x01\x02", b"PK\x01\x09"), Reason.MALFORMED_DOCUMENT),
        (tarred(("report.hl7", REPORT))[:600], Reason.MALFORMED_DOCUMENT),
    ],
)
def test_what_no_honest_sender_packs_is_refused(content: bytes, reason: Reason) -> None:
    assert refused(content) == reason


def test_members_are_read_each_in_its_own_format() -> None:
    content = zipped(("a.hl7", REPORT), ("b.txt", PDF_LIKE), ("c.bin", bytes(range(256))))

    readings = normalize_bytes(content, PROVIDER)
    parts = take_in(content, provider=PROVIDER, media_type="application/zip", patient_key=None, max_parts=10)

    assert [(one.format, one.outcome) for one in readings] == [("hl7v2", "normalized"), ("text", "normalized"), ("unknown", "rejected")]
    assert isinstance(parts, list)
    assert [one.format for one in parts] == ["hl7v2", "text", "unknown"]
    assert parts[0].patient_key == readings[0].patients[0].patient_key


def test_a_submission_set_says_whose_its_files_are() -> None:
    content = zipped(
        ("IHE_XDM/SUBSET01/METADATA.XML", METADATA.encode()),
        ("IHE_XDM/SUBSET01/DOC1.TXT", PDF_LIKE),
        ("INDEX.HTM", b"<html>index</html>"),
        ("README.TXT", b"read me"),
    )

    parts = take_in(content, provider=PROVIDER, media_type=None, patient_key=None, max_parts=10)
    (reading,) = normalize_bytes(content, PROVIDER)

    expected = patient_key("clinic-a", PatientIdentifier("2.999.5", "4711"))
    assert isinstance(parts, list)
    assert [(one.content, one.patient_key, one.warnings) for one in parts] == [(PDF_LIKE, expected, ("members_left_out",))]
    assert reading.documents[0].patient_key == expected


def test_metadata_that_cannot_be_read_names_nobody() -> None:
    content = zipped(("IHE_XDM/SUBSET01/METADATA.XML", b"<!DOCTYPE x><x/>"), ("IHE_XDM/SUBSET01/DOC1.TXT", PDF_LIKE))

    (reading,) = normalize_bytes(content, PROVIDER)

    assert reading.documents[0].patient_key is None
