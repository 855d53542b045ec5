"""Canonical readings as FHIR R4 resources, as far as the model has a place for them: for an independent validator to look at."""

import base64
from typing import Any

Json = dict[str, Any]
GENDERS = ("male", "female", "other", "unknown")
STATUSES = {"final": "final", "preliminary": "preliminary", "corrected": "corrected", "cancelled": "cancelled", "unknown": "unknown"}


def concept(code: Json | None, text: str | None = None) -> Json | None:
    """A Coding with its translations as a CodeableConcept."""
    codings = []
    for one in [code, *code.get("translations", [])] if code else []:
        coding = {name: one[name] for name in ("system", "code", "display") if one.get(name)}
        if coding:
            codings.append(coding)
    made: Json = {"coding": codings} if codings else {}
    if text:
        made["text"] = text
    return made or None


def patient(one: Json) -> Json:
    """A Patient."""
    name = one["name"] or {}
    made: Json = {
        "resourceType": "Patient",
        "id": one["patient_key"],
        "identifier": [{name: each[name] for name in ("system", "value") if each[name]} for each in one["identifiers"]],
        "name": [{key: name[key] for key in ("family", "given", "prefix", "suffix", "text") if name.get(key)}] if name else [],
        "telecom": [{"system": "phone", "value": each["value"]} for each in one["contact_details"]["phones"]],
        "address": [
            {
                "line": each["lines"],
                "city": each["city"],
                "state": each["state"],
                "postalCode": each["postal_code"],
                "country": each["country"],
            }
            for each in one["contact_details"]["addresses"]
        ],
        "birthDate": one["birth_date"],
        "gender": one["gender"],
    }
    return pruned(made)


def history(one: Json, subject: Json) -> Json | None:
    """An entry of medical history as the resource of its kind."""
    code = concept(one["code"], one["text"])
    match one["kind"]:
        case "allergy":
            return pruned(
                {
                    "resourceType": "AllergyIntolerance",
                    "patient": subject,
                    "code": code,
                    "category": [one["category"]] if one["category"] else None,
                    "criticality": one["criticality"],
                    "verificationStatus": concept({"code": "refuted" if one["negated"] else "unconfirmed"}),
                }
            )
        case "condition":
            return pruned({"resourceType": "Condition", "subject": subject, "code": code})
        case "medication":
            return pruned(
                {"resourceType": "MedicationStatement", "status": "unknown", "subject": subject, "medicationCodeableConcept": code}
            )
        case "procedure":
            return pruned({"resourceType": "Procedure", "status": "unknown", "subject": subject, "code": code})
        case "immunization":
            return pruned(
                {
                    "resourceType": "Immunization",
                    "status": "not-done" if one["negated"] else "completed",
                    "patient": subject,
                    "vaccineCode": code,
                    "occurrenceString": one["onset"] or "unknown",
                }
            )
        case "family":
            condition = {"code": code}
            return pruned(
                {
                    "resourceType": "FamilyMemberHistory",
                    "status": "partial",
                    "patient": subject,
                    "relationship": {"text": "relative"},
                    "condition": [condition],
                }
            )
    return pruned({"resourceType": "Observation", "status": "final", "subject": subject, "code": code})


def observation(one: Json) -> Json:
    """A result."""
    value, made = (
        one["value"],
        {"resourceType": "Observation", "status": STATUSES[one["status"]], "code": concept(one["code"]) or {"text": "result"}},
    )
    if value["kind"] == "quantity":
        made["valueQuantity"] = {"value": value["number"], "comparator": value["comparator"], "unit": value["unit"]}
    elif value["kind"] == "coded":
        made["valueCodeableConcept"] = concept(value["code"], value["text"])
    elif value["text"]:
        made["valueString"] = value["text"]
    if one["reference_range"]:
        made["referenceRange"] = [{"text": one["reference_range"]}]
    made["effectiveDateTime"] = one["effective"] if one["effective"] and "T" not in one["effective"] else None
    return pruned(made)


def document(one: Json) -> Json:
    """A DocumentReference with the readable text and the digests of its files."""
    files = [
        {"attachment": {"contentType": each["media_type"], "size": each["size"], "title": each["title"], "url": each["url"]}}
        for each in one["content"]["attachments"]
    ]
    text = base64.b64encode((one["content"]["text"] or one["title"]).encode()).decode()
    return pruned(
        {
            "resourceType": "DocumentReference",
            "id": one["document_id"],
            "status": {"withdrawn": "entered-in-error", "superseded": "superseded"}.get(one["status"], "current"),
            "type": concept(one["type_coding"]),
            "description": one["title"],
            "author": [{"display": each} for each in one["authors"]],
            "content": [{"attachment": {"contentType": "text/plain", "data": text}}, *files],
        }
    )


def resources(line: Json) -> list[Json]:
    """A line of `normalize` as resources."""
    made = [patient(one) for one in line["patients"]]
    for one in line["patients"]:
        subject = {"reference": f"Patient/{one['patient_key']}"}
        made += [found for entry in one["medical_history"] if (found := history(entry, subject))]
    for one in line["documents"]:
        made += [document(one), *(observation(each) for each in one["content"]["results"])]
    return made


def pruned(value: Any) -> Any:
    """Without what is absent."""
    if isinstance(value, dict):
        kept = {name: pruned(one) for name, one in value.items()}
        return {name: one for name, one in kept.items() if one not in (None, [], {})}
    return [pruned(one) for one in value if one not in (None, [], {})] if isinstance(value, list) else value
