"""What we read can be said in FHIR R4: an independent validator (`fhir.resources`) accepts it, for golden inputs, samples and generated messages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from services.normalizer.offline import as_json, normalize_bytes
from shared.canonical.reading import ProviderProfile
from tests.integration.samples.test_samples import samples
from tests.oracles.export import resources
from tests.oracles.generated import messages

PROVIDER = ProviderProfile("oracle", time_zone="Europe/Zurich")
GOLDEN = Path(__file__).parents[1] / "golden"


def refused(content: bytes, name: str) -> Iterator[str]:
    """Where the validator says no."""
    for reading in normalize_bytes(content, PROVIDER):
        for one in resources(as_json(reading)):
            try:
                get_fhir_model_class(one["resourceType"]).model_validate(one)
            except ValidationError as error:
                yield f"{name}: {one['resourceType']} {[each['loc'] for each in error.errors()][:2]}"


def test_golden_inputs_are_valid_fhir() -> None:
    assert [place for path in sorted(GOLDEN.glob("*/*/input.*")) for place in refused(path.read_bytes(), path.parent.name)] == []


def test_samples_are_valid_fhir() -> None:
    assert [place for path in samples() for place in refused(path.read_bytes(), path.name)] == []


def test_generated_messages_are_valid_fhir() -> None:
    assert [place for number, text in enumerate(messages(300, seed=7)) for place in refused(text.encode(), str(number))] == []


def test_the_validator_says_no_to_what_is_wrong() -> None:
    with pytest.raises(ValidationError):
        get_fhir_model_class("Patient").model_validate({"resourceType": "Patient", "birthDate": "1972-13"})
