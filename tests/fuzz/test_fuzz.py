"""A short run of the fuzzer, the same every time; `make fuzz` runs it for long."""

import random

import pytest

from tests.fuzz.checks import check, corpus
from tests.fuzz.mutations import MUTATIONS, mutated

INPUTS = 3000


def test_changed_inputs_end_in_readings_or_reasons() -> None:
    chance, golden = random.Random(20261123), corpus()

    for _ in range(INPUTS):
        content = mutated(chance, golden)
        try:
            check(content)
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}: {content[:300]!r}")


@pytest.mark.parametrize("mutation", dict.fromkeys(MUTATIONS), ids=lambda one: one.__name__)
def test_every_mutation_changes_something(mutation: object) -> None:
    chance, golden = random.Random(1), corpus()

    assert any(mutation(chance, golden[0], golden) != golden[0] for _ in range(20))  # type: ignore[operator]
