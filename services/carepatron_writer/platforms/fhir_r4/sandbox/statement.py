"""The CapabilityStatement: what the switches leave of a server. Pure."""

from typing import Any

from services.carepatron_writer.platforms.fhir_r4.sandbox.switches import Switches

INTERACTIONS = ("read", "create", "update", "search-type", "history-instance")
SEARCHES = {
    "DocumentReference": {"identifier": "token", "subject": "reference", "patient": "reference", "status": "token"},
    "Patient": {
        "identifier": "token",
        "name": "string",
        "family": "string",
        "given": "string",
        "email": "token",
        "telecom": "token",
        "birthdate": "date",
    },
    "Binary": {},
    "List": {},
}


def statement_of(switches: Switches) -> dict[str, Any]:
    """GET /metadata."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-11-23",
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "implementation": {"description": "Strict FHIR R4 server for tests"},
        "rest": [
            {
                "mode": "server",
                "resource": [_resource(kind, switches) for kind in SEARCHES],
                "interaction": [{"code": "transaction"}] if switches.transactions else [],
            }
        ],
    }


def _resource(kind: str, switches: Switches) -> dict[str, Any]:
    known = {name: one for name, one in SEARCHES[kind].items() if kind != "Patient" or name in switches.patient_searches}
    searches = {**known, **({"_lastUpdated": "date"} if switches.has_last_updated else {})}
    return {
        "type": kind,
        "interaction": [{"code": one} for one in INTERACTIONS if one != "update" or switches.updates or kind != "DocumentReference"],
        "versioning": "versioned-update" if switches.versioning else "no-version",
        "updateCreate": switches.update_create,
        "conditionalCreate": switches.conditional_create,
        "conditionalUpdate": switches.conditional_update,
        "searchParam": [{"name": name, "type": one} for name, one in searches.items()],
    }
