import itertools

from shared.delivery.breaker import Breaker, BreakerLimits
from shared.delivery.lanes import Lane, PartitionLanes


def lanes(count: int) -> list[Lane]:
    partition = PartitionLanes("t", 0, 1)
    return [Lane(str(number).encode(), partition) for number in range(count)]


def opened(*, at: float = 0.0, limits: BreakerLimits | None = None) -> Breaker:
    breaker = Breaker("platform", limits or BreakerLimits())
    breaker.fail(lanes(1)[0], at, is_target_down=True, wish_seconds=None)
    return breaker


def test_one_sick_lane_does_not_open_the_breaker():
    breaker = Breaker("platform", BreakerLimits())
    (lane,) = lanes(1)
    for _ in range(100):
        breaker.fail(lane, 0.0, is_target_down=False, wish_seconds=None)

    assert not breaker.is_open


def test_failures_of_several_lanes_in_a_row_open_it():
    breaker = Breaker("platform", BreakerLimits(failures=10, lanes=3))
    some = lanes(5)
    for number in range(10):
        assert not breaker.is_open
        breaker.fail(some[number % 5], 0.0, is_target_down=False, wish_seconds=None)

    assert breaker.is_open


def test_work_done_in_between_keeps_it_closed():
    breaker = Breaker("platform", BreakerLimits(failures=10, lanes=3))
    some = lanes(5)
    for number in range(100):
        breaker.fail(some[number % 5], 0.0, is_target_down=False, wish_seconds=None)
        if number % 8 == 7:
            breaker.succeed(some[0], is_work_done=True)

    assert not breaker.is_open


def test_a_target_that_is_down_for_everybody_opens_it_at_once():
    assert opened().is_open


def test_while_it_is_open_one_lane_probes_and_no_other():
    breaker = opened()
    one, other = lanes(2)

    assert not breaker.admits(one, 0.5)
    assert breaker.admits(one, 1.0)
    assert breaker.admits(one, 1.0)  # the probe itself goes on
    assert not breaker.admits(other, 1.0)


def test_probes_come_at_most_once_a_second_and_more_rarely_with_time():
    breaker = opened()
    (lane,) = lanes(1)
    times, now = [], 0.0
    while len(times) < 8:
        if breaker.admits(lane, now):
            times.append(now)
            breaker.fail(lane, now, is_target_down=False, wish_seconds=None)
        now += 0.25

    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses == [2, 4, 8, 10, 10, 10, 10]


def test_the_target_s_own_wish_puts_the_probe_off():
    breaker = Breaker("platform", BreakerLimits())
    (lane,) = lanes(1)
    breaker.fail(lane, 0.0, is_target_down=True, wish_seconds=90.0)

    assert not breaker.admits(lane, 89.0)
    assert breaker.admits(lane, 90.0)


def test_a_probe_that_comes_through_lets_all_go():
    breaker = opened()
    probe, *held = lanes(4)
    for lane in held:
        breaker.hold(lane, has_failed=False)
    breaker.admits(probe, 5.0)

    assert held == breaker.succeed(probe, is_work_done=False)
    assert not breaker.is_open


def test_work_that_was_under_way_when_it_opened_does_not_close_it():
    breaker = opened()
    (other,) = lanes(1)

    assert breaker.succeed(other, is_work_done=True) == []
    assert breaker.is_open


def test_a_lane_that_saw_the_outage_probes_first():
    breaker = opened()
    fresh, failed = lanes(2)
    breaker.hold(fresh, has_failed=False)
    breaker.hold(failed, has_failed=True)

    assert breaker.next_probe(0.5) is None
    assert breaker.next_probe(1.0) is failed


def test_a_probe_whose_partition_went_away_makes_room_for_another():
    breaker = opened()
    gone, other = lanes(1)[0], lanes(1)[0]
    breaker.admits(gone, 1.0)
    gone.partition.drop()

    assert breaker.admits(other, 1.0)


def test_a_target_that_says_when_to_come_back_is_not_down():
    breaker = Breaker("platform", BreakerLimits())
    for lane in lanes(100):
        breaker.fail(lane, 0.0, is_target_down=False, wish_seconds=2.0)

    assert not breaker.is_open
