"""Synthetic inputs of a set size: a laboratory report of 3 KB, a bundle of 19 KB, a C-CDA of 200 KB."""

import json
from typing import Any

TESTS = (
    ("718-7", "Hemoglobin", "13.2", "g/dL", "12.0-16.0"),
    ("4548-4", "Hemoglobin A1c", "6.1", "%", "4.0-6.0"),
    ("2093-3", "Cholesterol", "5.20", "mmol/L", "<5.0"),
    ("2089-1", "LDL Cholesterol", "3.10", "mmol/L", "<3.0"),
    ("2085-9", "HDL Cholesterol", "1.30", "mmol/L", ">1.2"),
    ("2571-8", "Triglyceride", "1.70", "mmol/L", "<1.7"),
    ("2160-0", "Creatinine", "71", "umol/L", "45-90"),
    ("33914-3", "GFR estimated", "88", "mL/min/1.73m2", ">60"),
    ("2823-3", "Potassium", "4.1", "mmol/L", "3.5-5.1"),
    ("2951-2", "Sodium", "140", "mmol/L", "136-145"),
    ("2777-1", "Phosphate", "1.10", "mmol/L", "0.8-1.5"),
    ("1751-7", "Albumin", "41", "g/L", "35-50"),
    ("17861-6", "Calcium", "2.30", "mmol/L", "2.15-2.55"),
    ("1742-6", "ALT", "22", "U/L", "<35"),
    ("1920-8", "AST", "21", "U/L", "<35"),
    ("6768-6", "Alkaline phosphatase", "70", "U/L", "35-105"),
    ("1975-2", "Bilirubin", "9", "umol/L", "<21"),
    ("3016-3", "TSH", "2.1", "mIU/L", "0.4-4.0"),
    ("2132-9", "Vitamin B12", "310", "pmol/L", "150-650"),
    ("2276-4", "Ferritin", "45", "ug/L", "15-150"),
)
V3 = 'xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def report(number: int) -> bytes:
    """An ORU^R01 with twenty results, 3 KB."""
    order = f"P{number:06d}|F{number:06d}^NORTH"
    lines = [
        f"MSH|^~\\&|LIS|NORTH LAB|HR|CLINIC|20261102081500+0100||ORU^R01^ORU_R01|M{number:06d}|P|2.5.1",
        f"PID|1||MRN{number:06d}^^^NORTH^MR~999-00-{number % 10_000:04d}^^^SSA^SS||Sundqvist^Alma^Rut^^Ms||19720504|F|||"
        "12 Lake Road^^Uppsala^^75310^SE^H||+46185550100^PRN^PH~^NET^Internet^alma.sundqvist@example.org||||||||",
        "PV1|1|O|CLINIC^^^NORTH||||1234^Berg^Ola^^^Dr",
        f"ORC|RE|{order}||CM",
        f"OBR|1|{order}|57698-3^Lipid panel and chemistry^LN|||20261102080000+0100|||||||||1234^Berg^Ola^^^Dr||||||20261102081000+0100||LAB|F",
    ]
    for index, (code, name, value, unit, limits) in enumerate(TESTS, 1):
        lines.append(
            f"OBX|{index}|NM|{code}^{name}^LN^{code[:4]}L^{name}^L||{value}|{unit}^{unit}^UCUM|{limits}|N|||F|||20261102080000+0100||||||||North Lab"
        )
    lines.append("NTE|1|L|Fasting sample.")
    return ("\r".join(lines) + "\r").encode()


def bundle(number: int) -> bytes:
    """A collection: a patient, a report with twenty results, conditions, allergies; 19 KB."""
    subject = {"reference": f"Patient/p{number}"}
    resources: list[dict[str, Any]] = [
        {
            "resourceType": "Patient",
            "id": f"p{number}",
            "identifier": [{"type": {"coding": [{"code": "MR"}]}, "system": "urn:oid:2.999.5", "value": f"N-{number:06d}"}],
            "name": [{"use": "official", "family": "Sundqvist", "given": ["Alma", "Rut"]}],
            "gender": "female",
            "birthDate": "1972-05-04",
            "address": [{"use": "home", "line": ["12 Lake Road"], "city": "Uppsala", "postalCode": "75310", "country": "SE"}],
            "telecom": [{"system": "phone", "value": "+46185550100", "use": "home"}, {"system": "email", "value": "alma@example.org"}],
        },
        {
            "resourceType": "DiagnosticReport",
            "id": f"r{number}",
            "status": "final",
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": "57698-3", "display": "Lipid panel and chemistry"}]},
            "subject": subject,
            "effectiveDateTime": "2026-11-02T08:00:00+01:00",
            "issued": "2026-11-02T08:10:00+01:00",
            "result": [{"reference": f"Observation/o{number}-{index}"} for index in range(len(TESTS))],
        },
    ]
    for index, (code, name, value, unit, limits) in enumerate(TESTS):
        resources.append(
            {
                "resourceType": "Observation",
                "id": f"o{number}-{index}",
                "meta": {"versionId": "1", "lastUpdated": "2026-11-02T08:10:00+01:00"},
                "status": "final",
                "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
                "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": name}], "text": name},
                "subject": subject,
                "effectiveDateTime": "2026-11-02T08:00:00+01:00",
                "issued": "2026-11-02T08:10:00+01:00",
                "valueQuantity": {"value": json.loads(value), "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
                "interpretation": [{"coding": [{"code": "N", "display": "Normal"}]}],
                "referenceRange": [{"text": limits}],
            }
        )
    for index, word in enumerate(("Peanut", "Egg", "Penicillin", "Birch pollen")):
        resources.append(
            {
                "resourceType": "AllergyIntolerance",
                "id": f"a{number}-{index}",
                "clinicalStatus": {"coding": [{"code": "active"}]},
                "category": ["food" if index < 2 else "medication" if index == 2 else "environment"],
                "criticality": "high",
                "code": {"coding": [{"system": "http://snomed.info/sct", "code": str(700 + index), "display": word}]},
                "patient": subject,
                "reaction": [{"manifestation": [{"text": "Hives"}]}],
            }
        )
    entries = [{"fullUrl": f"http://clinic.example/fhir/{one['resourceType']}/{one['id']}", "resource": one} for one in resources]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def summary(number: int, *, size: int = 200_000) -> bytes:
    """A C-CDA with results, problems and medications until it has the size."""
    head = (
        f'<ClinicalDocument {V3}><templateId root="2.16.840.1.113883.10.20.22.1.2" extension="2015-08-01"/><id root="2.999.7" extension="D{number}"/>'
        '<code code="34133-9" codeSystem="2.16.840.1.113883.6.1" displayName="Summary of episode note"/><title>Summary of care</title>'
        '<effectiveTime value="20261102081500+0100"/><setId root="2.999.8" extension="S1"/><versionNumber value="1"/>'
        f'<recordTarget><patientRole><id root="2.999.5" extension="N-{number:06d}"/><addr use="HP"><streetAddressLine>12 Lake Road</streetAddressLine>'
        '<city>Uppsala</city></addr><telecom value="tel:+46185550100" use="HP"/><patient><name use="L"><given>Alma</given><family>Sundqvist</family></name>'
        '<administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="19720504"/></patient></patientRole></recordTarget>'
        "<component><structuredBody>"
    )
    sections: list[str] = []
    length, index = len(head), 0
    while length < size:
        made = _results(index) if index % 3 == 0 else _problems(index) if index % 3 == 1 else _medications(index)
        sections.append(made)
        length += len(made)
        index += 1
    return (head + "".join(sections) + "</structuredBody></component></ClinicalDocument>").encode()


def _section(code: str, title: str, rows: list[str], entries: list[str]) -> str:
    text = f"<table><thead><tr><th>What</th><th>Value</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    loinc = f'<code code="{code}" codeSystem="2.16.840.1.113883.6.1"/>'
    return f"<component><section>{loinc}<title>{title}</title><text>{text}</text>{''.join(entries)}</section></component>"


def _results(index: int) -> str:
    rows = [f'<tr ID="r{index}-{at}"><td>{name}</td><td>{value} {unit}</td></tr>' for at, (_, name, value, unit, _) in enumerate(TESTS)]
    observations = [
        '<component><observation classCode="OBS" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.2"/>'
        f'<id root="2.999.9" extension="{index}-{at}"/><code code="{code}" codeSystem="2.16.840.1.113883.6.1" displayName="{name}"/>'
        f'<text><reference value="#r{index}-{at}"/></text><statusCode code="completed"/><effectiveTime value="20261102080000+0100"/>'
        f'<value xsi:type="PQ" value="{value}" unit="{unit}"/><interpretationCode code="N" codeSystem="2.16.840.1.113883.5.83"/></observation></component>'
        for at, (code, name, value, unit, _) in enumerate(TESTS)
    ]
    organizer = (
        '<entry><organizer classCode="BATTERY" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.1"/>'
        f'<code code="57698-3" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/>{"".join(observations)}</organizer></entry>'
    )
    return _section("30954-2", "Results", rows, [organizer])


def _problems(index: int) -> str:
    names = [f"Problem {index}-{at}" for at in range(12)]
    entries = [
        '<entry><act classCode="ACT" moodCode="EVN"><code code="CONC" codeSystem="2.16.840.1.113883.5.6"/><statusCode code="active"/>'
        '<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.4"/>'
        '<code code="55607006" codeSystem="2.16.840.1.113883.6.96"/><statusCode code="completed"/><effectiveTime><low value="20190501"/></effectiveTime>'
        f'<value xsi:type="CD" code="{7000 + at}" codeSystem="2.16.840.1.113883.6.96" displayName="{name}"/></observation></entryRelationship></act></entry>'
        for at, name in enumerate(names)
    ]
    return _section("11450-4", "Problems", [f"<tr><td>{name}</td><td>active</td></tr>" for name in names], entries)


def _medications(index: int) -> str:
    names = [f"Medicine {index}-{at}" for at in range(12)]
    entries = [
        '<entry><substanceAdministration classCode="SBADM" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.16"/>'
        '<statusCode code="active"/><effectiveTime xsi:type="IVL_TS"><low value="20200101"/></effectiveTime><consumable><manufacturedProduct>'
        f'<manufacturedMaterial><code code="{9000 + at}" codeSystem="2.16.840.1.113883.6.88" displayName="{name}"/></manufacturedMaterial>'
        "</manufacturedProduct></consumable></substanceAdministration></entry>"
        for at, name in enumerate(names)
    ]
    return _section("10160-0", "Medications", [f"<tr><td>{name}</td><td>daily</td></tr>" for name in names], entries)
