"""The version guard: a total order, and the same end whatever the order of arrival."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.normalizer.registry.documents import Decision, Known, Offered, Rival, decide


def offered(version: int, content: str = "a", *, offset: int = 0, mapping: int = 1, patient: str = "p", kind: str = "oru") -> Offered:
    return Offered(
        patient, f"{kind}:{version:020d}", Rival(content, f"digest-{content}-{mapping}", mapping, f"document.received.v1/0/{offset}")
    )


def end_of(deliveries: list[Offered]) -> Known | None:
    known: Known | None = None
    for one in deliveries:
        _, known = decide(known, one)
    return known


def test_a_newer_version_takes_the_place_of_an_older_one() -> None:
    known = end_of([offered(1)])

    assert decide(known, offered(2, "b"))[0] is Decision.NEWER
    assert decide(end_of([offered(2)]), offered(1, "b"))[0] is Decision.OLDER


def test_the_same_version_again_changes_nothing() -> None:
    known = end_of([offered(1, offset=3)])

    decision, after = decide(known, offered(1, offset=9))

    assert decision is Decision.REPEATED
    assert known
    assert (after.shown, after.platform_version) == (known.shown, known.platform_version)


def test_of_two_contents_with_one_version_the_one_received_later_is_shown_and_sorts_higher() -> None:
    first, second = offered(1, "a", offset=3), offered(1, "b", offset=9)

    decision, known = decide(end_of([first]), second)

    assert (decision, known.shown) == (Decision.CONFLICT_SHOWN, "b")
    assert known.platform_version > end_of([first]).platform_version
    assert decide(end_of([second]), first)[0] is Decision.CONFLICT_KEPT


def test_a_newer_mapping_of_the_same_bytes_sorts_higher_and_an_older_one_changes_nothing() -> None:
    known = end_of([offered(1)])

    decision, remapped = decide(known, offered(1, mapping=2))

    assert decision is Decision.REMAPPED
    assert remapped.platform_version > known.platform_version
    assert decide(remapped, offered(1, mapping=1)) == (Decision.REPEATED, remapped)


@pytest.mark.parametrize(
    ("one", "decision"), [(offered(2, patient="q"), Decision.OTHER_PATIENT), (offered(2, kind="mdm"), Decision.KIND_CHANGED)]
)
def test_what_cannot_be_compared_is_left_alone(one: Offered, decision: Decision) -> None:
    known = end_of([offered(1)])

    assert decide(known, one) == (decision, known)


DELIVERY = st.builds(offered, st.integers(1, 3), st.sampled_from("abc"), offset=st.integers(0, 5))


@given(st.lists(DELIVERY, min_size=1, max_size=5, unique_by=lambda one: one.content.origin))
def test_any_order_of_deliveries_ends_in_the_same_state(deliveries: list[Offered]) -> None:
    ends = {end_of(list(order)) for order in permutations(deliveries)}

    assert len(ends) == 1


@given(st.lists(DELIVERY, min_size=1, max_size=6, unique_by=lambda one: one.content.origin))
def test_a_second_delivery_of_everything_changes_nothing(deliveries: list[Offered]) -> None:
    assert end_of(deliveries + deliveries) == end_of(deliveries)


@given(st.lists(DELIVERY, min_size=2, max_size=6, unique_by=lambda one: one.content.origin))
def test_the_version_at_the_platform_never_falls(deliveries: list[Offered]) -> None:
    known: Known | None = None
    versions: list[str] = []
    for one in deliveries:
        _, known = decide(known, one)
        versions.append(known.platform_version)

    assert versions == sorted(versions)
