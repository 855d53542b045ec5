"""What a CapabilityStatement means."""

from typing import Any

import pytest

from services.carepatron_writer.platforms.fhir_r4.features import Abilities, Features, drifts, features_of
from services.carepatron_writer.platforms.fhir_r4.sandbox.statement import statement_of
from services.carepatron_writer.platforms.fhir_r4.sandbox.switches import Switches


def test_without_a_statement_the_careful_way_is_taken() -> None:
    careful = Abilities(conditional_create=False, conditional_update=False, update_create=False)

    assert features_of({}) == Features() == Features(careful, careful, careful, has_transactions=False)
    assert features_of({"rest": [{"mode": "client", "resource": [{"type": "Patient", "conditionalCreate": True}]}]}) == Features()
    assert features_of({"rest": "broken"}) == Features()


def test_what_a_server_claims_is_used() -> None:
    able = Abilities(conditional_create=True, conditional_update=True, update_create=True)

    names = frozenset({*Switches().patient_searches, "_lastUpdated"})

    assert features_of(statement_of(Switches())) == Features(able, able, able, has_transactions=True, patient_searches=names)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"fhirVersion": "4.3.0"}, "fhirVersion"),
        ({"fhirVersion": "<script>"}, "fhirVersion"),
        ({"interaction": "update"}, "rest.resource(Patient).interaction"),
        ({"searchParam": "identifier"}, "rest.resource(Patient).searchParam"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, str], where: str) -> None:
    statement: dict[str, Any] = statement_of(Switches())
    if "fhirVersion" in change:
        statement |= change
    patient = next(one for one in statement["rest"][0]["resource"] if one["type"] == "Patient")
    patient["interaction"] = [one for one in patient["interaction"] if one["code"] != change.get("interaction")]
    patient["searchParam"] = [one for one in patient["searchParam"] if one["name"] != change.get("searchParam")]

    [drift] = drifts(statement)

    assert drift.where == where
    assert "<" not in drift.found
