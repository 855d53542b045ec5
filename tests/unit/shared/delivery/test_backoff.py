import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.backoff import FIRST_PAUSE_SECONDS, LONGEST_WISH_SECONDS, pause_seconds
from shared.errors import Unavailable


@given(st.integers(1, 10_000), st.floats(0, 0.999))
def test_a_pause_lies_between_nothing_and_the_longest(pauses, chance):
    pause = pause_seconds(pauses, Unavailable("x"), lambda: chance, longest=60)

    assert 0 <= pause <= 60


def test_the_ceiling_doubles():
    ceilings = [pause_seconds(n, Unavailable("x"), lambda: 1.0, longest=60) for n in range(1, 12)]

    assert [FIRST_PAUSE_SECONDS * 2**n for n in range(8)] == ceilings[:8]
    assert ceilings[-1] == 60


def test_what_the_target_asks_for_is_waited():
    pause = pause_seconds(1, Unavailable("x", retry_after_seconds=120), lambda: 0.0, longest=60)

    assert pause == 120


@pytest.mark.parametrize("wish", [10 * 365 * 86400.0, float("inf")])
def test_an_absurd_wish_is_capped(wish):
    pause = pause_seconds(1, Unavailable("x", retry_after_seconds=wish), lambda: 0.0, longest=60)

    assert pause == LONGEST_WISH_SECONDS


@pytest.mark.parametrize("wish", [-5.0, 0.0, float("nan"), None])
def test_a_wish_that_says_nothing_leaves_the_pause_to_us(wish):
    pause = pause_seconds(1, Unavailable("x", retry_after_seconds=wish), lambda: 0.5, longest=60)

    assert pause == FIRST_PAUSE_SECONDS / 2
