"""Hostile and broken bytes by name: what senders, transports and attackers make of documents. Large ones are made when asked for."""

import base64
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

MEGA = 1 << 20
Case = tuple[str, Callable[[], bytes]]
MSH = "MSH|^~\\&|LAB|CLINIC|HR|HR|20261102101500||ORU^R01^ORU_R01|{number}|P|2.5.1\r"
PID = "PID|1||MRN{number}^^^CORPUS^MR||Hostile^Test||19600101|F\r"
ORDER = "OBR|1||F{number}^LAB|718-7^Hemoglobin^LN|||20261102101500||||||||||||||20261102101500|||F\r"
RESULT = "OBX|1|NM|718-7^Hemoglobin^LN||13.5|g/dL^^UCUM||||F\r"
CDA = '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{}</ClinicalDocument>'
TARGET = (
    '<id root="2.999" extension="D{number}"/><effectiveTime value="20261102"/><recordTarget><patientRole><id root="2.999.1" extension="MRN{number}"/>'
    "<patient><name><given>Test</given><family>Hostile</family></name></patient></patientRole></recordTarget>"
)
INJECTIONS = (
    "=cmd|'/C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "'; DROP TABLE synchronization_log; --",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "*)(uid=*))(|(uid=*",
    '{"$gt":""}',
    "<script>alert(1)</script>",
    "a\r\nPatient-Key: other",
    "../../../../etc/passwd",
    "%2e%2e%2f?x#y",
    "\x1b[2J\x1b[31mred",
    '{"event":"forged","level":"error"}',
    "$(touch /tmp/x)`touch /tmp/x`",
)
NAMES = (
    "Аnnа",  # Cyrillic letters that look Latin
    "\u202etset\u202c",  # right to left
    "An\u200bna\u2060\ufeff",  # zero width
    "A\u030angstro\u0308m",  # NFD
    "N" * 10_000,
    "\U0001f469\u200d\u2695\ufe0f",
    "a" + "\u0301" * 5_000,
    "\u0000Anna\u0000",
    "\ufffe\uffff",
)


def hl7(body: str, number: str = "1", *, head: str = MSH) -> bytes:
    """A message around some segments."""
    return (head.format(number=number) + PID.format(number=number) + body).encode("utf-8", "surrogatepass")


def report(body: str = RESULT, number: str = "1") -> bytes:
    """A laboratory report."""
    return hl7(ORDER.format(number=number) + body, number)


def fhir(resource: dict[str, Any]) -> bytes:
    """FHIR JSON."""
    return json.dumps(resource).encode()


def patient(number: str = "1", **changes: Any) -> dict[str, Any]:
    """A Patient."""
    return {
        "resourceType": "Patient",
        "id": f"p{number}",
        "identifier": [{"system": "CORPUS", "value": f"MRN{number}"}],
        "name": [{"family": "Hostile", "given": ["Test"]}],
        **changes,
    }


def observation(number: str = "1", **changes: Any) -> dict[str, Any]:
    """An Observation of that patient."""
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "subject": {"reference": f"Patient/p{number}"},
        "effectiveDateTime": "2026-11-02T10:15:00Z",
        "valueQuantity": {"value": 13.5, "unit": "g/dL"},
        **changes,
    }


def bundle(*resources: Any, kind: str = "collection") -> dict[str, Any]:
    """A Bundle."""
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": one} for one in resources]}


def cda(body: str = "", number: str = "1", *, prolog: str = "") -> bytes:
    """A C-CDA document."""
    return (prolog + CDA.format(TARGET.format(number=number) + body)).encode("utf-8", "surrogatepass")


def section(text: str) -> str:
    """A section with a narrative."""
    return f"<component><structuredBody><component><section><title>T</title><text>{text}</text></section></component></structuredBody></component>"


def rtf(body: str) -> bytes:
    """An RTF file."""
    return b"{\\rtf1\\ansi " + body.encode("latin-1") + b"}"


def empty() -> Iterator[Case]:
    """Groups 1 and 2: nothing, or as good as nothing."""
    for number, content in enumerate(
        (b"", b"\xef\xbb\xbf", b"\xff\xfe", b" \r\n\t", b"\x0b\x1c\r", b"\x00" * 5000, b"\xef\xbb\xbf\r\n \x00\x1a")
    ):
        yield f"empty-{number}", lambda content=content: content  # type: ignore[misc]


def archives() -> Iterator[Case]:
    """Group 6: compressed bytes are no format of ours; nothing is unpacked."""
    yield "gzip-bomb", lambda: gzip.compress(bytes(20 * MEGA), 9)
    yield "gzip-of-a-report", lambda: gzip.compress(report())
    yield "gzip-nested", lambda: gzip.compress(gzip.compress(gzip.compress(report())))
    yield "zstd-declares-4-GiB", lambda: b"\x28\xb5\x2f\xfd\xe0" + (4 << 30).to_bytes(8, "little") + b"\x01\x00\x00"
    yield "zip-slip", zip_slip
    yield "zip-of-many-entries", zip_of_many
    yield "tar-with-symlink", tar_with_symlink


def zip_slip() -> bytes:
    """A path that climbs out of its folder."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../../tmp/out.hl7", report())
    return out.getvalue()


def zip_of_many() -> bytes:
    """Ten thousand entries."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(10_000):
            archive.writestr(str(number), b"")
    return out.getvalue()


def tar_with_symlink() -> bytes:
    """A link to a file of the machine."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return out.getvalue()


def charsets() -> Iterator[Case]:
    """Group 7: the bytes are in another encoding than they say."""
    said = MSH.format(number="7").rstrip("\r") + "|||||||UNICODE UTF-8\r"
    latin = (said + PID.format(number="7").replace("Hostile", "Müller") + ORDER.format(number="7") + RESULT).encode("latin-1")
    yield "utf-8-said-latin-1-sent", lambda: latin
    for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp500"):
        yield f"hl7-in-{name}", lambda name=name: report().decode().encode(name)  # type: ignore[misc]
        yield f"fhir-in-{name}", lambda name=name: fhir(patient()).decode().encode(name)  # type: ignore[misc]
        yield f"ccda-in-{name}", lambda name=name: cda().decode().encode(name)  # type: ignore[misc]
    yield "declared-utf-16-sent-odd", lambda: (said.replace("UTF-8", "UTF-16") + PID.format(number="7")).encode() + b"\xff\xfe\xd8\x00"
    for name, raw in (
        ("overlong", b"\xc0\xaf\xe0\x80\xaf"),
        ("surrogate", b"\xed\xa0\x80\xed\xb0\x80"),
        ("nul", b"\x00"),
        ("beyond", b"\xf7\xbf\xbf\xbf"),
    ):
        yield f"hl7-{name}", lambda raw=raw: report().replace(b"Hostile", b"Ho" + raw + b"st")  # type: ignore[misc]
        yield f"fhir-{name}", lambda raw=raw: fhir(patient()).replace(b"Hostile", b"Ho" + raw + b"st")  # type: ignore[misc]
        yield f"ccda-{name}", lambda raw=raw: cda().replace(b"Hostile", b"Ho" + raw + b"st")  # type: ignore[misc]
        yield f"text-{name}", lambda raw=raw: b"A letter " * 20 + raw  # type: ignore[misc]
    yield "fhir-escaped-surrogate", lambda: fhir(patient()).replace(b"Hostile", b"\\ud800")
    yield "fhir-escaped-nul", lambda: fhir(patient()).replace(b"Hostile", b"Ho\\u0000st")
    yield "hl7-escaped-nul", lambda: report("OBX|1|ST|1^A^L||a\\X00\\b||||||F\r")
    yield "hl7-escaped-surrogate", lambda: report("OBX|1|ST|1^A^L||a\\XEDA080\\b||||||F\r")
    yield "rtf-surrogate", lambda: rtf("\\u-10240? and \\u55357?")
    yield "rtf-nul", lambda: rtf("a\\u0? b\\'00 c")
    yield "rtf-impossible-number", lambda: rtf("\\u99999999999? \\u-99999999?")
    for codec in ("utf-7", "raw_unicode_escape", "unicode_escape", "punycode", "idna", "rot13", "undefined", "base64", "mbcs"):
        page = f'<html><head><meta charset="{codec}"><title>T</title></head><body>\\ud800 +2AA- \\x00 \xe9</body></html>'
        yield f"html-says-{codec}", lambda page=page: page.encode("latin-1")  # type: ignore[misc]


def xml() -> Iterator[Case]:
    """Group 8: XML that grows, reaches out, or nests."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    yield "billion-laughs", lambda: cda("<title>&l9;</title>", prolog=f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]>')
    yield "quadratic-blow-up", lambda: cda(f"<title>{'&a;' * 50_000}</title>", prolog=f'<!DOCTYPE a [<!ENTITY a "{"x" * 50_000}">]>')
    yield "parameter-entity", lambda: cda(prolog='<!DOCTYPE a [<!ENTITY % p SYSTEM "http://169.254.169.254/x.dtd"> %p;]>')
    yield "xxe-file", lambda: cda("<title>&x;</title>", prolog='<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>')
    yield (
        "xxe-http",
        lambda: cda("<title>&x;</title>", prolog='<!DOCTYPE a [<!ENTITY x SYSTEM "http://169.254.169.254/latest/meta-data/">]>'),
    )
    yield "doctype-alone", lambda: cda(prolog="<!DOCTYPE ClinicalDocument>")
    yield "doctype-without-end", lambda: b"<!DOCTYPE a ["
    yield "doctype-in-utf-16", lambda: cda(prolog='<!DOCTYPE a [<!ENTITY x "y">]>').decode().encode("utf-16")
    yield "undeclared-entity", lambda: cda("<title>&nbsp;&unknown;</title>")
    yield "xinclude", lambda: cda('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>')
    yield "schema-location", lambda: cda().replace(b"<id ", b'<x xsi:schemaLocation="urn:hl7-org:v3 http://169.254.169.254/a.xsd"/><id ', 1)
    yield "stylesheet", lambda: cda(prolog='<?xml-stylesheet type="text/xsl" href="http://169.254.169.254/x.xsl"?>')
    yield "nesting-300k", lambda: cda("<a>" * 300_000 + "</a>" * 300_000)
    yield "narrative-nesting", lambda: cda(section("<content>" * 240 + "x" + "</content>" * 240))
    yield "attributes-100k", lambda: cda("<title " + " ".join(f'a{n}="1"' for n in range(100_000)) + "/>")
    yield "namespaces-100k", lambda: cda("".join(f'<x xmlns="urn:{n}"/>' for n in range(100_000)))
    yield "prefixes-without-declaration", lambda: cda("".join(f"<p{n}:a/>" for n in range(5_000)))
    yield "comment-without-end", lambda: b"<?xml version='1.0'?><!--" + b"-" * MEGA
    yield "cdata-without-end", lambda: cda("<title><![CDATA[" + "]" * MEGA)
    yield "one-text-of-10-MiB", lambda: cda(section("x" * (10 * MEGA)))
    yield "tags-without-end", lambda: b"<ClinicalDocument xmlns='urn:hl7-org:v3'>" + b"<a " * 300_000
    yield "spaces-before-the-declaration", lambda: b" " * MEGA + cda(prolog='<?xml version="1.0"?>')
    yield (
        "attachment-not-base64",
        lambda: cda('<component><nonXMLBody><text mediaType="application/pdf" representation="B64">%%%</text></nonXMLBody></component>'),
    )
    yield (
        "attachment-is-html",
        lambda: cda(
            f'<component><nonXMLBody><text mediaType="application/pdf" representation="B64">{base64.b64encode(b"<html>").decode()}</text></nonXMLBody></component>'
        ),
    )
    yield "narrative-with-script", lambda: cda(section('<script>alert(1)</script><linkHtml href="javascript:alert(1)">x</linkHtml>'))
    yield "table-of-1e5-spans", lambda: cda(section('<table><tr><td colspan="999999999" rowspan="999999999">x</td></tr></table>'))


def jsons() -> Iterator[Case]:
    """Group 11: JSON at its edges."""
    yield "depth-100k", lambda: b'{"resourceType":' + b"[" * 100_000
    yield "depth-100k-closed", lambda: b'{"resourceType":"Patient","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield "depth-900", lambda: b'{"resourceType":"Patient","id":"1","x":' + b'{"x":' * 900 + b"1" + b"}" * 901
    yield "plain-depth-100k", lambda: b"[" * 100_000 + b"]" * 100_000
    sections: dict[str, Any] = {"title": "x"}
    for _ in range(400):
        sections = {"title": "x", "section": [sections]}
    yield (
        "sections-400-deep",
        lambda: fhir({"resourceType": "Composition", "id": "c", "subject": {"reference": "Patient/1"}, "section": [sections]}),
    )
    for name, raw in (
        ("integer-of-200k-digits", b"9" * 200_000),
        ("integer-of-4000-digits", b"9" * 4_000),
        ("integer-beyond-64-bits", str(2**64 + 1).encode()),
        ("negative-beyond-64-bits", str(-(2**63) - 5).encode()),
        ("nan", b"NaN"),
        ("infinity", b"-Infinity"),
        ("1e999", b"1e999"),
        ("1e-999999999", b"1e-999999999"),
        ("leading-zeros", b"007"),
        ("true", b"true"),
        ("object", b"{}"),
        ("list", b"[1,[2]]"),
    ):
        for field in (b'"identifier":[{"value":', b'"id":', b'"birthDate":', b'"resourceType":'):
            tail = b"}]" if field.startswith(b'"identifier') else b""
            yield (
                f"{name}-in-{field[1:6].decode()}",
                lambda raw=raw, field=field, tail=tail: fhir(patient()).rstrip(b"}") + b"," + field + raw + tail + b"}",
            )  # type: ignore[misc]
        yield f"{name}-as-value", lambda raw=raw: fhir(observation()).replace(b"13.5", raw)  # type: ignore[misc]
        yield (
            f"{name}-as-observation-id",
            lambda raw=raw: fhir(observation(identifier=[{"value": 77}])).replace(b'"o1"', raw).replace(b"77", raw),
        )  # type: ignore[misc]
        yield (
            f"{name}-in-an-unnamed-document",
            lambda raw=raw: fhir({k: v for k, v in observation(x=77).items() if k != "id"}).replace(b"77", raw),
        )  # type: ignore[misc]
    yield (
        "duplicate-keys",
        lambda: b'{"resourceType":"Patient","resourceType":"Observation","id":"1","id":"2","identifier":[{"value":"MRN1"}]}',
    )
    yield (
        "duplicate-entries",
        lambda: b'{"resourceType":"Bundle","entry":[],"entry":' + json.dumps(bundle(patient("1"), patient("2"))["entry"]).encode() + b"}",
    )
    yield "trailing-bytes", lambda: fhir(patient()) + b"xyz"
    yield "two-values", lambda: fhir(patient()) + fhir(patient("2"))
    yield (
        "proto",
        lambda: (
            b'{"resourceType":"Patient","id":"__proto__","__proto__":{"isAdmin":true},"constructor":{"prototype":{}},"identifier":[{"value":"__proto__"}]}'
        ),
    )
    yield "string-of-10-MiB", lambda: fhir(patient(name=[{"family": "x" * (10 * MEGA)}]))
    yield "key-of-1-MiB", lambda: fhir(patient(**{"k" * MEGA: 1}))
    yield "bom-in-the-middle", lambda: fhir(patient()).replace(b"{", b"{\xef\xbb\xbf", 1)
    yield "lines-of-which-some-are-broken", lambda: fhir(patient("1")) + b"\n{broken\n" + fhir(patient("2")) + b"\n\x00\n"
    yield "1e5-lines", lambda: b"\n".join(b'{"resourceType":"X"}' for _ in range(100_000))


def wrong_types() -> Iterator[Case]:
    """Group 12: every element of FHIR with a value of another kind."""
    odd: tuple[Any, ...] = (
        None,
        True,
        5,
        1.5,
        "text",
        [],
        [[]],
        [None],
        {},
        {"x": []},
        [{"reference": []}],
        {"coding": [None, 5, {"code": {}}]},
        "9" * 5000,
    )
    keys = {
        "Patient": ("id", "identifier", "name", "telecom", "address", "birthDate", "gender", "extension", "meta", "contained", "text"),
        "Observation": (
            "id",
            "code",
            "subject",
            "status",
            "valueQuantity",
            "valueCodeableConcept",
            "component",
            "hasMember",
            "category",
            "interpretation",
            "referenceRange",
            "effectiveDateTime",
            "effectivePeriod",
            "issued",
            "encounter",
            "identifier",
            "contained",
            "meta",
            "text",
        ),
        "DiagnosticReport": (
            "id",
            "code",
            "subject",
            "result",
            "presentedForm",
            "conclusionCode",
            "category",
            "identifier",
            "performer",
            "issued",
            "status",
            "contained",
        ),
        "DocumentReference": (
            "id",
            "content",
            "type",
            "category",
            "context",
            "relatesTo",
            "author",
            "custodian",
            "masterIdentifier",
            "status",
            "docStatus",
            "date",
            "subject",
        ),
        "Composition": ("id", "section", "type", "title", "author", "date", "status", "relatesTo", "subject", "identifier"),
        "CarePlan": ("id", "activity", "category", "period", "title", "status", "created", "subject"),
        "AllergyIntolerance": (
            "code",
            "category",
            "type",
            "criticality",
            "reaction",
            "clinicalStatus",
            "verificationStatus",
            "onsetPeriod",
            "patient",
        ),
        "MedicationStatement": ("medication", "medicationReference", "medicationCodeableConcept", "status", "subject"),
        "FamilyMemberHistory": ("condition", "relationship", "status", "patient"),
        "NutritionOrder": ("oralDiet", "excludeFoodModifier", "status", "patient"),
        "Immunization": ("vaccineCode", "status", "patient"),
    }
    for kind, fields in keys.items():
        for field in fields:
            for number, value in enumerate(odd):
                resource = {**observation(), "resourceType": kind, field: value}
                yield f"{kind}.{field}-{number}", lambda resource=resource: fhir(bundle(patient("1"), patient("2"), resource))  # type: ignore[misc]
                yield f"alone-{kind}.{field}-{number}", lambda resource=resource: fhir(resource)  # type: ignore[misc]
    for field in ("entry", "type", "meta", "timestamp", "identifier"):
        for number, value in enumerate(odd):
            yield f"Bundle.{field}-{number}", lambda field=field, value=value: fhir({**bundle(patient("1"), patient("2")), field: value})  # type: ignore[misc]
    for field in ("use", "family", "given", "prefix", "text"):
        for number, value in enumerate(odd):
            yield (
                f"name.{field}-{number}",
                lambda field=field, value=value: fhir(
                    patient(name=[{"family": "A", "given": ["B"], field: value}, {"family": "C", "use": "old"}])
                ),
            )  # type: ignore[misc]
    for field in ("resource", "fullUrl"):
        for number, value in enumerate(odd):
            yield (
                f"entry.{field}-{number}",
                lambda field=field, value=value: fhir(
                    {**bundle(), "entry": [{"resource": patient("1"), field: value}, {"resource": patient("2")}]}
                ),
            )  # type: ignore[misc]
    for field in ("resourceType", "reference", "system", "value", "use"):
        for number, value in enumerate(odd):
            made = bundle(
                patient("1", telecom=[{"system": "email", "value": "a", field: value}]),
                patient("2"),
                observation(subject={"reference": "Patient/p1", field: value}),
            )
            made["entry"].append({"resource": {**observation("2"), field: value}})
            yield f"any.{field}-{number}", lambda made=made: fhir(made)  # type: ignore[misc]


def references() -> Iterator[Case]:
    """Group 12: references that turn round, nest, or point where nobody may look."""
    yield "wrong-resource-type", lambda: fhir({"resourceType": "Pаtient", "id": "1"})
    yield "resource-type-of-10k", lambda: fhir({"resourceType": "P" * 10_000, "id": "1"})
    inner = bundle(patient(), observation())
    for _ in range(50):
        inner = bundle(inner)
    yield "bundle-in-itself", lambda: fhir(inner)
    yield "bundle-in-bundle-of-two-patients", lambda: fhir(bundle(bundle(patient("1"), observation("1"), patient("2"), observation("2"))))
    ring = [
        {**observation("a"), "id": "a", "hasMember": [{"reference": "#b"}]},
        {**observation("b"), "id": "b", "hasMember": [{"reference": "#a"}, {"reference": "#b"}]},
    ]
    yield (
        "contained-in-a-ring",
        lambda: fhir(
            {
                "resourceType": "DiagnosticReport",
                "id": "r",
                "subject": {"reference": "#p"},
                "contained": [*ring, patient()],
                "result": [{"reference": "#a"}],
            }
        ),
    )
    own = observation("1", hasMember=[{"reference": "Observation/o1"}] * 1000, derivedFrom=[{"reference": "Observation/o1"}])
    yield "member-of-itself", lambda: fhir(bundle(patient(), own))
    many = [
        observation(str(n), subject={"reference": "Patient/p1"}, hasMember=[{"reference": f"Observation/o{m}"} for m in range(100)])
        for m in (0,)
        for n in range(100)
    ]
    yield "everyone-of-everyone", lambda: fhir(bundle(patient(), *many))
    for url in (
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "http://localhost:9092/",
        "gopher://127.0.0.1/",
        "\\\\host\\share",
    ):
        yield (
            f"reference-to-{url[:12]}",
            lambda url=url: fhir(  # type: ignore[misc]
                bundle(
                    patient(),
                    {
                        "resourceType": "DocumentReference",
                        "id": "d",
                        "status": "current",
                        "subject": {"reference": "Patient/p1"},
                        "content": [{"attachment": {"url": url, "contentType": "application/pdf"}}],
                    },
                    observation(subject={"reference": url}),
                )
            ),
        )
        yield f"hl7-pointer-to-{url[:12]}", lambda url=url: report(f"OBX|1|RP|1^A^L||{url}^^PDF||||||F\r")  # type: ignore[misc]
    yield (
        "entries-10k",
        lambda: fhir(
            bundle(
                patient(), *({"resourceType": "Observation", "id": str(n), "subject": {"reference": "Patient/p1"}} for n in range(10_000))
            )
        ),
    )
    yield "entries-60k", lambda: fhir(bundle(*({"resourceType": "Observation"} for _ in range(60_000))))
    yield (
        "patients-5k-with-shared",
        lambda: fhir(
            bundle(*(patient(str(n)) for n in range(5_000)), *({"resourceType": "Practitioner", "id": str(n)} for n in range(5_000)))
        ),
    )
    yield (
        "contained-60k-unmatched",
        lambda: fhir(
            {
                "resourceType": "DiagnosticReport",
                "id": "r",
                "subject": {"reference": "Patient/1"},
                "contained": [{"id": str(n)} for n in range(3_000)],
                "result": [{"reference": f"#x{n}"} for n in range(3_000)],
            }
        ),
    )


def dates() -> Iterator[Case]:
    """Group 13: times that are none."""
    for written in (
        "2026-02-30",
        "0000-01-01",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "2026-01-01T00:00:00+14:01",
        "2026-01-01T00:00:00+99:99",
        "2026-01-01T00:00:60Z",
        "2026-01-01T24:00:00Z",
        "2026-13-01",
        "20261",
        "-2026-01-01",
        "٢٠٢٦-٠١-٠١",
        "2026-01-01T00:00:00+٠١:٠٠",
        "2026-01-01T00:00:00." + "9" * 5_000 + "Z",
        "today",
        "1" * 100_000,
    ):
        short = written[:24]
        yield (
            f"fhir-{short}",
            lambda written=written: fhir(  # type: ignore[misc]
                bundle(patient(birthDate=written), observation(effectiveDateTime=written, issued=written, meta={"lastUpdated": written}))
            ),
        )
        plain = written.replace("-", "", 2).replace(":", "").replace("T", "")
        for form in dict.fromkeys((plain, written)):
            yield (
                f"hl7-{form[:24]}",
                lambda form=form: report(number=form[:40]).replace(b"20261102101500", form.encode()).replace(b"19600101", form.encode()),
            )  # type: ignore[misc]
            yield (
                f"mdm-{form[:24]}",
                lambda form=form: (
                    hl7(f"TXA|1|CN|TX|{form}|1^A|{form}|{form}|{form}|||||N1|||||AU\rOBX|1|TX|1^A||x\r")
                    .replace(b"ORU^R01^ORU_R01", b"MDM^T02")
                    .replace(b"20261102101500", form.encode())
                ),
            )  # type: ignore[misc]
            yield f"ccda-{form[:24]}", lambda form=form: cda(section("x")).replace(b"20261102", form.encode())  # type: ignore[misc]
    for identifier in ("../../x", "a b", "é", "x" * 10_000, "", " ", "%00", "a/b/c", "#", "?q=1", "\u2024\u2024/"):
        yield (
            f"fhir-id-{identifier[:8]!r}",
            lambda identifier=identifier: fhir(
                bundle(patient(id=identifier), observation(id=identifier, subject={"reference": f"Patient/{identifier}"}))
            ),
        )  # type: ignore[misc]


def er7() -> Iterator[Case]:
    """Group 14: HL7 v2 as interfaces really send it, and worse."""
    for name, end in (("lf", "\n"), ("crlf", "\r\n"), ("mixed", "\r\r\n\n"), ("vt", "\x0b"), ("nel", "\x85")):
        yield f"ends-{name}", lambda end=end: report().decode().replace("\r", end).encode()  # type: ignore[misc]
    yield "without-msh", lambda: report().split(b"\r", 1)[1]
    for raw in (
        b"MSH",
        b"MSH|",
        b"MSH|^",
        b"MSH|^~\\&",
        b"MSH|^~\\&|",
        b"MSH||||||||",
        b"MSH|^~\\&|||||||",
        b"MSHMSHMSH",
        b"MSH\r",
        b"MSH|^~\\&|\x00|",
    ):
        yield f"header-{raw!r}", lambda raw=raw: raw  # type: ignore[misc]
    for separators in (
        "#*~",
        "||||",
        "^^^^",
        "|||||",
        "\\\\\\\\",
        "~~~~~",
        "|&&&&",
        "|^~^&",
        "A^~\\&",
        "1^~\\&",
        " ^~\\&",
        "|    ",
        "|\\^~&",
        "é^~\\&",
        "|^~\\&#$%",
    ):
        yield f"separators-{separators}", lambda separators=separators: report().replace(b"|^~\\&|", separators.encode() + b"|", 1)  # type: ignore[misc]
        yield (
            f"separators-all-{separators}",
            lambda separators=separators: report().replace(b"|^~\\&", separators.encode(), 1).replace(b"|", separators[0].encode()),
        )  # type: ignore[misc]
    yield "field-of-10-MiB", lambda: report(f"OBX|1|TX|1^A^L||{'x' * (10 * MEGA)}||||||F\r")
    yield "name-of-10-MiB", lambda: report().replace(b"Hostile", b"x" * (10 * MEGA))
    yield "repetitions-1e5", lambda: report(f"OBX|1|ST|1^A^L||{'~'.join(map(str, range(100_000)))}||||||F\r")
    yield "identifiers-1e5", lambda: report().replace(b"MRN1^^^CORPUS^MR", b"~".join(b"%d^^^A^PI" % n for n in range(100_000)))
    yield "names-1e5", lambda: report().replace(b"Hostile^Test", b"~".join(b"N%d^G^^^^^A" % n for n in range(100_000)))
    yield (
        "telephones-1e5",
        lambda: report().replace(b"|19600101|F", b"|19600101|F||||" + b"|" + b"~".join(b"%d" % n for n in range(100_000))),
    )
    yield "authors-1e5", lambda: report().replace(b"|F\rOBX", b"|F|||||||" + b"~".join(b"%d&Name" % n for n in range(100_000)) + b"\rOBX")
    yield "components-1e6", lambda: report(f"OBX|1|ST|1^A^L||{'^' * 1_000_000}||||||F\r")
    yield "subcomponents-1e6", lambda: report(f"OBX|1|CE|1^A^L||{'&' * 1_000_000}||||||F\r")
    yield "fields-1e6", lambda: report(f"OBX{'|' * 1_000_000}\r")
    yield "segments-1e6", lambda: report("NTE|1||x\r" * 1_000_000)
    yield "lines-1e6-that-are-none", lambda: report("OBX|1|TX|1^A^L||x\r" + "y\r" * 1_000_000)
    yield "groups-1e4", lambda: hl7("".join(f"OBR|{n}||F{n}^LAB|1^A^L\r" for n in range(10_000)))
    yield (
        "groups-1e4-of-one-filler",
        lambda: hl7("".join(f"OBR|{n}|P{n}|F^LAB|1^A^L|||20261102101500|||||||||||||||20261102101500\r" for n in range(10_000))),
    )
    yield (
        "groups-1e4-with-odd-numbers",
        lambda: hl7("".join(f"OBR|{n}||F{n}|1^A^L||||||||||||||||||20261102101500\rOBX|1|NM|1^A^L||odd\r" for n in range(10_000))),
    )
    yield (
        "notes-6e3",
        lambda: hl7("".join(f"TXA|{n}|CN\rOBX|1|TX|1^A^L||x\r" for n in range(6_000))).replace(b"ORU^R01^ORU_R01", b"MDM^T02"),
    )
    yield "observations-2e4-odd", lambda: report("OBX|1|NM|1^A^L||odd|x||||||||20261302\r" * 20_000)
    yield "allergies-1e4", lambda: hl7("".join(f"AL1|{n}|FA|{n}^A^L|SV|x\r" for n in range(10_000)))
    yield "messages-1e5", lambda: b"MSH|^~\\&|\r" * 100_000
    for escape in (
        "\\X4",
        "\\X4\\",
        "\\Zfoo\\",
        "\\.sp999999999\\",
        "\\.sp-9\\",
        "\\",
        "\\\\\\",
        "\\H\\x\\N\\",
        "\\C2842\\",
        "\\XZZ\\",
        "\\.in+99999999999\\",
        "\\X" + "41" * 50_000 + "\\",
        "\\E" * 50_001,
        "\\" * 300_001,
    ):
        yield f"escape-{escape[:12]}", lambda escape=escape: report(f"OBX|1|FT|1^A^L||a{escape}b||||||F\r")  # type: ignore[misc]
    for name, old, new in (
        ("type-unknown", "ORU^R01^ORU_R01", "ZZZ^Z99"),
        ("type-empty", "ORU^R01^ORU_R01", ""),
        ("type-of-10k", "ORU^R01^ORU_R01", "O" * 10_000),
        ("processing-test", "|P|", "|T|"),
        ("processing-odd", "|P|", "|D^X|"),
        ("version-odd", "2.5.1", "9" * 5_000),
    ):
        yield name, lambda old=old, new=new: report().replace(old.encode(), new.encode())  # type: ignore[misc]
    yield "control-id-empty", lambda: report(number="")
    yield "control-id-300", lambda: report(number="C" * 300)
    yield "two-patients", lambda: hl7(PID.format(number="2") + ORDER.format(number="1") + RESULT)
    yield "without-authority", lambda: report().replace(b"^^^CORPUS^MR", b"")
    yield "attachment-not-base64", lambda: report("OBX|1|ED|1^A^L||^application^pdf^Base64^%%%||||||F\r")
    yield "attachment-of-8-MiB", lambda: report(f"OBX|1|ED|1^A^L||^application^pdf^Base64^{'QUJD' * (2 * MEGA)}||||||F\r")
    yield "attachment-hex-odd", lambda: report("OBX|1|ED|1^A^L||^application^pdf^Hex^ABC||||||F\r")
    yield "batch-with-wrong-counts", lambda: b"FHS|^~\\&\rBHS|^~\\&\r" + report() + b"BTS|99\rFTS|-5\r"
    yield "batch-without-messages", lambda: b"FHS|^~\\&\rBHS|^~\\&\rBTS|0\rFTS|1\r"
    yield "merge-without-mrg", lambda: hl7("").replace(b"ORU^R01^ORU_R01", b"ADT^A40")
    yield "merge-with-itself", lambda: hl7("MRG|MRN1^^^CORPUS^MR\r").replace(b"ORU^R01^ORU_R01", b"ADT^A40")


def strings() -> Iterator[Case]:
    """Groups 17 and 20: text that means something elsewhere, and names that look like others."""
    for number, text in enumerate((*INJECTIONS, *NAMES)):
        yield (
            f"hl7-{number}",
            lambda text=text: report(f"OBX|1|ST|{text}^{text}^L||{text}|{text}|{text}||||F|||||{text}^{text}^{text}\r").replace(
                b"Hostile^Test", f"{text}^{text}".encode("utf-8", "surrogatepass")
            ),
        )  # type: ignore[misc]
        yield (
            f"fhir-{number}",
            lambda text=text: fhir(  # type: ignore[misc]
                bundle(
                    patient(
                        id=text,
                        identifier=[{"system": text, "value": text}],
                        name=[{"family": text, "given": [text], "use": text}],
                        telecom=[{"system": "email", "value": text}],
                    ),
                    observation(code={"text": text}, valueString=text, status=text, subject={"reference": f"Patient/{text}"}),
                )
            ),
        )
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        yield (
            f"ccda-{number}",
            lambda escaped=escaped: cda(f"<title>{escaped}</title>" + section(escaped)).replace(
                b"Hostile", escaped.encode("utf-8", "surrogatepass")
            ),
        )  # type: ignore[misc]
        yield f"text-{number}", lambda text=text: text.encode("utf-8", "surrogatepass")  # type: ignore[misc]
        yield f"html-{number}", lambda text=text: f"<html><title>{text}</title><body>{text}</body></html>".encode()  # type: ignore[misc]


def versions() -> Iterator[Case]:
    """Group 21: version numbers that are none."""
    for written in ("-1", "1.5", "007", str(2**63), "9" * 25, "9" * 5_000, "abc", "١٢", "", " 1 ", "1e5", "²"):
        yield f"fhir-{written[:12]!r}", lambda written=written: fhir(bundle(patient(), observation(meta={"versionId": written})))  # type: ignore[misc]
        yield f"ccda-{written[:12]!r}", lambda written=written: cda(f'<setId root="2.999.7"/><versionNumber value="{written}"/>')  # type: ignore[misc]
    for number in (-1, 2**63, 2**70, 1.5, True, None):
        yield f"fhir-number-{number!r}", lambda number=number: fhir(bundle(patient(), observation(meta={"versionId": number})))  # type: ignore[misc]


def patterns() -> Iterator[Case]:
    """Group 31: strings that make a careless regular expression slow."""
    long = 200_000
    for name, text in (
        ("digits", "1" * long),
        ("date-like", "2026-01-01T" + "0" * long),
        ("mail", "a@" * (long // 2)),
        ("dots", "a." * (long // 2) + "!"),
        ("spaces", " " * long + "x"),
        ("slashes", "Patient/" * (long // 8)),
        ("plus", "+" * long),
        ("compare", "<" + " " * long + "x"),
        ("number", "1." + "0" * long + "e" + "9" * long),
        ("oid", "1." * (long // 2)),
        ("quotes", '"' * long),
        ("braces", "{\\" * (long // 2)),
        ("lines", "\r\n" * (long // 2)),
    ):
        safe = text.replace('"', "&quot;").replace("<", "&lt;")
        yield f"hl7-{name}", lambda text=text: report(f"OBX|1|NM|{text}||{text}|{text}||||||||{text}\r").replace(b"19600101", text.encode())  # type: ignore[misc]
        yield (
            f"fhir-{name}",
            lambda text=text: fhir(bundle(patient(birthDate=text), observation(effectiveDateTime=text, subject={"reference": text}))),
        )  # type: ignore[misc]
        yield f"ccda-{name}", lambda safe=safe: cda(f'<versionNumber value="{safe}"/>' + section(safe)).replace(b"20261102", safe.encode())  # type: ignore[misc]
        yield f"text-{name}", lambda text=text: text.encode()  # type: ignore[misc]
        yield f"xml-{name}", lambda text=text: b"<" + text.encode() + b" " + text.encode()  # type: ignore[misc]
        yield f"html-{name}", lambda text=text: b"<html><title" + text.encode()  # type: ignore[misc]
        yield f"rtf-{name}", lambda text=text: rtf("{\\title " + text)  # type: ignore[misc]
        yield f"rtf-braces-{name}", lambda text=text: rtf("{" * 5_000 + text[:5_000])  # type: ignore[misc]
        yield f"declaration-{name}", lambda text=text: b"<?xml " + text.encode() + b"encoding"  # type: ignore[misc]


def files() -> Iterator[Case]:
    """Files that are not what they begin like."""
    yield "pdf-cut", lambda: b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n"
    yield (
        "pdf-pages-in-a-ring",
        lambda: (
            b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Kids[2 0 R]/Count 999999999>>\nendobj\ntrailer<</Root 1 0 R>>\n"
        ),
    )
    yield "pdf-of-exe", lambda: b"MZ\x90\x00" + b"\x00" * 60 + b"%PDF-"
    for name, magic in (
        ("png", b"\x89PNG\r\n\x1a\n"),
        ("jpeg", b"\xff\xd8\xff"),
        ("tiff", b"II*\0"),
        ("gif", b"GIF89a"),
        ("webp", b"RIFF\x00\x00\x00\x00WEBP"),
        ("bmp", b"BM" + bytes(24)),
    ):
        yield f"{name}-cut", lambda magic=magic: magic  # type: ignore[misc]
        yield f"{name}-garbage", lambda magic=magic: magic + bytes(range(256)) * 40  # type: ignore[misc]
    yield "png-of-2e9-pixels", lambda: b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x02\x00\x00\x00" + bytes(4)
    yield "rtf-nesting", lambda: rtf("{" * 20_000 + "}" * 20_000)
    yield "rtf-codes", lambda: rtf("\\'zz\\'\\u\\u99\\uc99999 \\bin99999999 " + "\\par" * 10_000)
    yield (
        "rtf-font-table",
        lambda: rtf("{\\fonttbl{\\f0\\fcharset999999 x;}{\\f1\\fcharset128 y;}}\\f0\\'e9\\f1\\'82\\'a0\\ansicpg99999 \\'e9"),
    )
    yield "noise", lambda: bytes((n * 7919 + 13) % 256 for n in range(100_000))
    yield "executable", lambda: b"\x7fELF" + bytes(1000)


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {
    "empty": empty,
    "archives": archives,
    "charsets": charsets,
    "xml": xml,
    "json": jsons,
    "types": wrong_types,
    "references": references,
    "dates": dates,
    "hl7": er7,
    "strings": strings,
    "versions": versions,
    "patterns": patterns,
    "files": files,
}
