"""A deterministic corpus of synthetic documents: ORU, MDM, FHIR bundles and C-CDA about invented patients, the same for the same seed."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FAMILIES = ("Ashdown", "Brightwater", "Castellan", "Dunmore", "Everglade", "Fennimore", "Greymoor", "Hollis", "Ironwood", "Juniper")
GIVEN = ("Ada", "Bela", "Cleo", "Dara", "Esme", "Finn", "Gita", "Hugo", "Ines", "Jonas")
TESTS = (
    ("718-7", "Hemoglobin", "g/dL", 9, 18),
    ("4548-4", "Hemoglobin A1c", "%", 4, 11),
    ("2093-3", "Cholesterol", "mmol/L", 3, 8),
    ("2089-1", "LDL cholesterol", "mmol/L", 1, 6),
    ("2571-8", "Triglyceride", "mmol/L", 0, 4),
    ("2160-0", "Creatinine", "umol/L", 40, 160),
    ("2823-3", "Potassium", "mmol/L", 3, 6),
    ("2777-1", "Phosphate", "mmol/L", 0, 2),
)
BEGIN = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Person:
    """An invented patient; `mark` stands in the name so that a leak can be searched for."""

    number: int
    family: str
    given: str
    birth_date: str  # YYYYMMDD
    gender: str
    mark: str = ""

    @property
    def mrn(self) -> str:
        """The record number at the provider."""
        return f"MRN{self.mark}{self.number:06d}"

    @property
    def email(self) -> str:
        """An address of a reserved domain."""
        return f"{self.given}.{self.family}.{self.number}@example.org".lower()

    @property
    def pid(self) -> str:
        """The PID segment."""
        return f"PID|1||{self.mrn}^^^CORPUS^MR||{self.family}^{self.given}||{self.birth_date}|{self.gender}|||{self.number} {self.mark}Lane^^Town||^NET^Internet^{self.email}"


@dataclass(frozen=True, slots=True)
class Document:
    """One published document: its bytes, and what the test knows about it."""

    key: str  # names the document, whatever its version
    version: int
    person: Person
    kind: str
    content: bytes


def people(count: int, *, seed: int = 1, mark: str = "") -> list[Person]:
    """Invented patients."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        birth = f"{chance.randint(1940, 2015)}{chance.randint(1, 12):02d}{chance.randint(1, 28):02d}"
        made.append(Person(number, mark + chance.choice(FAMILIES) + str(number), chance.choice(GIVEN), birth, chance.choice("FM"), mark))
    return made


def corpus(documents: int, *, patients: int = 500, seed: int = 1, versions: int = 1, mark: str = "") -> Iterator[Document]:
    """So many documents in four kinds (half ORU, a quarter MDM, the rest bundles and C-CDA), each in so many versions, in source order."""
    chance = random.Random(seed)
    known = people(patients, seed=seed, mark=mark)
    for number in range(documents):
        person = known[number % patients]
        kind = ("oru", "mdm", "oru", "fhir", "oru", "mdm", "oru", "ccda")[number % 8]
        values = [(code, name, unit, f"{chance.uniform(low, high):.2f}") for code, name, unit, low, high in TESTS]
        for version in range(1, versions + 1):
            at = BEGIN + timedelta(minutes=7 * number, hours=version)
            yield Document(f"{kind}-{number}", version, person, kind, MAKERS[kind](person, number, version, at, values))


Values = list[tuple[str, str, str, str]]


def oru(person: Person, number: int, version: int, at: datetime, values: Values) -> bytes:
    """A laboratory report, ORU^R01; later versions are corrections."""
    stamp = at.strftime("%Y%m%d%H%M%S+0000")
    lines = [
        f"MSH|^~\\&|LIS|CORPUS|HR|HR|{stamp}||ORU^R01^ORU_R01|O{number}-{version}|P|2.5.1",
        person.pid,
        f"OBR|1|P{number}|F{number}^CORPUS|57698-3^Panel^LN|||{stamp}|||||||||||||||{stamp}||LAB|{'F' if version == 1 else 'C'}",
    ]
    for index, (code, name, unit, value) in enumerate(values, 1):
        lines.append(f"OBX|{index}|NM|{code}^{name}^LN||{value}|{unit}^{unit}^UCUM|1-{index + 5}|N|||F")
        lines.append(
            f"NTE|{index}|L|Measured by enzymatic method, run {number}; version {version} of this panel was released by the duty biochemist."
        )
    return "\r".join(lines).encode() + b"\r"


def mdm(person: Person, number: int, version: int, at: datetime, values: Values) -> bytes:
    """A progress note, MDM^T02, later versions as T08 edits."""
    stamp = at.strftime("%Y%m%d%H%M%S+0000")
    event = "T02" if version == 1 else "T08"
    lines = [
        f"MSH|^~\\&|GPSYS|CORPUS|HR|HR|{stamp}||MDM^{event}^MDM_T02|M{number}-{version}|P|2.5.1",
        f"EVN|{event}|{stamp}",
        person.pid,
        f"TXA|1|PR^Progress note^HL70270|TX|{stamp}|||{stamp}|{stamp if version > 1 else ''}||||N{number}^CORPUS|||||AU||AV",
    ]
    for index in range(1, 12):
        lines.append(
            f"OBX|{index}|TX|11506-3^Progress note^LN||Visit {number}, line {index}: intake and activity reviewed, plan version {version}.||||||F"
        )
    return "\r".join(lines).encode() + b"\r"


def fhir(person: Person, number: int, version: int, at: datetime, values: Values) -> bytes:
    """A laboratory report as a bundle: Patient, DiagnosticReport, Observations."""
    stamp = at.isoformat().replace("+00:00", "Z")
    birth = f"{person.birth_date[:4]}-{person.birth_date[4:6]}-{person.birth_date[6:]}"
    patient = {
        "resourceType": "Patient",
        "id": f"p{person.number}",
        "identifier": [
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]},
                "system": "CORPUS",
                "value": person.mrn,
            }
        ],
        "name": [{"family": person.family, "given": [person.given]}],
        "gender": {"F": "female", "M": "male"}[person.gender],
        "birthDate": birth,
        "telecom": [{"system": "email", "value": person.email}],
    }
    report = {
        "resourceType": "DiagnosticReport",
        "id": f"r{number}",
        "meta": {"versionId": str(version), "lastUpdated": stamp},
        "status": "final" if version == 1 else "corrected",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "57698-3", "display": "Panel"}]},
        "subject": {"reference": f"Patient/p{person.number}"},
        "effectiveDateTime": stamp,
        "issued": stamp,
        "result": [{"reference": f"Observation/o{number}-{index}"} for index in range(len(values))],
    }
    observations = [
        {
            "resourceType": "Observation",
            "id": f"o{number}-{index}",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": name}]},
            "subject": {"reference": f"Patient/p{person.number}"},
            "effectiveDateTime": stamp,
            "valueQuantity": {"value": float(value), "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
        }
        for index, (code, name, unit, value) in enumerate(values)
    ]
    entries = [
        {"fullUrl": f"Patient/p{person.number}", "resource": patient},
        {"resource": report},
        *({"resource": one} for one in observations),
    ]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def ccda(person: Person, number: int, version: int, at: datetime, values: Values) -> bytes:
    """A care summary with a food allergy and results."""
    stamp = at.strftime("%Y%m%d%H%M%S+0000")
    rows = "".join(f"<tr><td>{name}</td><td>{value} {unit}</td></tr>" for _, name, unit, value in values)
    observations = "".join(
        f'<component><observation classCode="OBS" moodCode="EVN"><code code="{code}" codeSystem="2.16.840.1.113883.6.1" displayName="{name}"/>'
        f'<statusCode code="completed"/><effectiveTime value="{stamp}"/><value xsi:type="PQ" value="{value}" unit="{unit}"/></observation></component>'
        for code, name, unit, value in values
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<id root="2.999.18.1" extension="C{number}-{version}"/><code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/><title>Care summary {number}</title>
<effectiveTime value="{stamp}"/><setId root="2.999.18.2" extension="S{number}"/><versionNumber value="{version}"/>
<recordTarget><patientRole><id root="2.999.18" extension="{person.mrn}"/><telecom value="mailto:{person.email}"/><patient>
<name><given>{person.given}</given><family>{person.family}</family></name>
<administrativeGenderCode code="{person.gender}" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="{person.birth_date}"/></patient></patientRole></recordTarget>
<component><structuredBody><component><section><code code="30954-2" codeSystem="2.16.840.1.113883.6.1"/><title>Results</title>
<text><table><tbody>{rows}</tbody></table></text><entry><organizer classCode="BATTERY" moodCode="EVN">
<code code="57698-3" codeSystem="2.16.840.1.113883.6.1" displayName="Panel"/><statusCode code="completed"/>{observations}</organizer></entry></section></component>
</structuredBody></component></ClinicalDocument>
""".encode()


MAKERS = {"oru": oru, "mdm": mdm, "fhir": fhir, "ccda": ccda}
