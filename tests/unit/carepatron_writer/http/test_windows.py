"""One limit window: what it has seen, and when there is room again."""

from datetime import datetime

import pytest

from services.carepatron_writer.platforms.http.windows import NEVER, Count
from tests.unit.carepatron_writer.http.virtual import ZONE, a_window


class _Wall:
    def __init__(self, hour: int = 12, minute: int = 0, second: float = 30.0) -> None:
        self.now = datetime(2026, 11, 3, hour, minute, tzinfo=ZONE).timestamp() + second

    def __call__(self) -> float:
        return self.now


def _rolling(requests: int, seconds: float = 60.0, reserve: float = 0.0) -> Count:
    return Count(a_window(requests, seconds), _Wall(), reserve)


def test_a_rolling_window_is_full_until_its_oldest_answer_is_a_window_old() -> None:
    count = _rolling(2)
    for sent, answered in ((0.0, 3.0), (1.0, 5.0)):
        count.give_back(count.take(sent, is_live=True), answered)

    assert (count.free_at(5.0, is_live=True), count.free_at(62.9, is_live=True)) == (63.0, 63.0)
    assert count.free_at(63.0, is_live=True) == 63.0


def test_while_requests_are_on_their_way_only_an_answer_can_tell() -> None:
    count = _rolling(2)
    first = count.take(0.0, is_live=True)
    count.take(1.0, is_live=True)

    assert count.free_at(1_000.0, is_live=True) == NEVER
    count.give_back(first, 1_000.0)
    assert count.free_at(1_000.0, is_live=True) == 1_060.0


def test_a_turn_that_was_never_used_does_not_count() -> None:
    for window in (a_window(1, 60), a_window(1, 60, kind="calendar")):
        count = Count(window, _Wall())
        count.cancel(count.take(0.0, is_live=True))

        assert (count.used(0.0), count.free_at(0.0, is_live=True)) == (0, 0.0)


@pytest.mark.parametrize(("requests", "reserve", "left"), [(100, 0.1, 90), (100, 0.0, 100), (5, 0.1, 4), (2, 0.5, 1), (1, 0.5, 1)])
def test_a_reserve_is_at_least_one_request_where_there_is_more_than_one(requests: int, reserve: float, left: int) -> None:
    count = _rolling(requests, reserve=reserve)

    assert (left, requests) == (count.limit(is_live=False), count.limit(is_live=True))


def test_those_who_must_leave_a_reserve_wait_earlier() -> None:
    count = _rolling(10, reserve=0.1)
    for _ in range(9):
        count.give_back(count.take(0.0, is_live=True), 1.0)

    assert (count.free_at(2.0, is_live=True), count.free_at(2.0, is_live=False)) == (2.0, 61.0)


def test_replays_go_at_even_distances() -> None:
    count, sent = _rolling(10, reserve=0.1), list[float]()
    for _ in range(3):
        sent.append(count.free_at(sent[-1] if sent else 5.0, is_live=False))
        count.give_back(count.take(sent[-1], is_live=False), sent[-1])

    assert pytest.approx(sent) == [5.0, 5.0 + 60 / 9, 5.0 + 120 / 9]
    assert count.free_at(6.0, is_live=True) == 6.0


def test_a_calendar_window_begins_anew_with_each_period_of_utc() -> None:
    wall = _Wall(second=30.0)
    count = Count(a_window(2, 60, kind="calendar"), wall)
    for _ in range(2):
        count.give_back(count.take(7.0, is_live=True), 7.0)

    assert count.free_at(7.0, is_live=True) == pytest.approx(7.0 + 30 + 2)  # the next minute, and the guard
    wall.now += 32
    assert count.free_at(39.0, is_live=True) == 39.0


def test_near_the_end_of_a_period_a_request_counts_for_both() -> None:
    wall = _Wall(second=59.0)
    count = Count(a_window(1, 60, kind="calendar"), wall)
    count.give_back(count.take(0.0, is_live=True), 0.0)
    wall.now += 4  # the next minute

    assert count.free_at(4.0, is_live=True) == pytest.approx(4.0 + 57 + 2)


def test_a_request_on_its_way_counts_for_every_period_that_may_see_it() -> None:
    wall = _Wall(second=50.0)
    count = Count(a_window(1, 60, kind="calendar"), wall)
    ticket = count.take(0.0, is_live=True)
    wall.now += 20  # the next minute has begun, and the platform may have seen nothing yet

    assert count.free_at(20.0, is_live=True) == NEVER
    count.give_back(ticket, 20.0)
    assert count.free_at(20.0, is_live=True) == pytest.approx(20.0 + 50 + 2)


def test_a_day_is_a_day_of_utc_wherever_we_are() -> None:
    wall = _Wall(hour=5, minute=40)  # in Kathmandu: five minutes before midnight in UTC
    count = Count(a_window(1, 86_400, kind="calendar"), wall)
    count.give_back(count.take(0.0, is_live=True), 0.0)

    assert count.free_at(0.0, is_live=True) == pytest.approx(5 * 60 - 30 + 2)


def test_old_periods_are_forgotten() -> None:
    wall = _Wall()
    count = Count(a_window(5, 60, kind="calendar"), wall)
    for _ in range(500):
        count.give_back(count.take(0.0, is_live=True), 0.0)
        wall.now += 60

    assert len(count._periods) <= 4
