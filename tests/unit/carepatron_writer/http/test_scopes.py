"""What one operation waits for: pauses that were asked for, and the breaker."""

from services.carepatron_writer.platforms.http.scopes import FAILURES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, PROBE_SECONDS, Scope


def _broken(now: float = 10.0) -> Scope:
    """An operation that failed as often as it takes, while others worked."""
    scope = Scope()
    for _ in range(FAILURES):
        scope.fail(now, last_success_elsewhere=now)
    return scope


def test_a_longer_pause_stands() -> None:
    scope = Scope()
    scope.pause(30.0)
    scope.pause(5.0)

    assert (scope.wait_seconds(10.0), scope.wait_seconds(30.0)) == (20.0, 0.0)


def test_an_operation_that_fails_while_others_work_is_paused() -> None:
    assert _broken(10.0).wait_seconds(10.0) == FIRST_PAUSE_SECONDS


def test_one_failure_fewer_pauses_nothing() -> None:
    scope = Scope()
    for _ in range(FAILURES - 1):
        scope.fail(10.0, last_success_elsewhere=10.0)

    assert scope.wait_seconds(10.0) == 0


def test_a_success_in_between_starts_the_count_anew() -> None:
    scope = Scope()
    for round_ in range(3):
        for _ in range(FAILURES - 1):
            scope.fail(10.0, last_success_elsewhere=10.0)
        scope.succeed(10.0 + round_)

    assert scope.wait_seconds(20.0) == 0


def test_when_nothing_works_the_account_is_away_not_the_operation() -> None:
    scope = Scope()
    for _ in range(3 * FAILURES):
        scope.fail(10.0, last_success_elsewhere=9.0)

    assert scope.wait_seconds(10.0) == 0


def test_after_the_pause_one_at_a_time_may_try() -> None:
    scope = _broken(10.0)
    after = 10.0 + FIRST_PAUSE_SECONDS

    assert (scope.wait_seconds(after), scope.begin(), scope.wait_seconds(after)) == (0.0, True, PROBE_SECONDS)
    scope.end_probe()
    assert (scope.wait_seconds(after), scope.begin()) == (0.0, True)


def test_where_nothing_is_broken_nobody_is_a_probe() -> None:
    scope = Scope()

    assert [(scope.wait_seconds(1.0), scope.begin()) for _ in range(2)] == [(0.0, False)] * 2


def test_a_probe_that_comes_through_opens_the_way_for_all() -> None:
    scope = _broken(10.0)
    scope.begin()
    scope.end_probe()
    scope.succeed(11.5)

    assert [(scope.wait_seconds(11.5), scope.begin()) for _ in range(3)] == [(0.0, False)] * 3


def test_pauses_double_with_each_failed_probe_up_to_the_longest() -> None:
    scope, now, pauses = _broken(0.0), 0.0, []
    for _ in range(6):
        pause = scope.wait_seconds(now)
        pauses.append(pause)
        now += pause
        scope.begin()
        scope.end_probe()
        scope.fail(now, last_success_elsewhere=now)

    assert pauses == [1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]


def test_those_already_on_their_way_do_not_lengthen_the_pause() -> None:
    scope = _broken(10.0)
    for _ in range(20):
        scope.fail(10.2, last_success_elsewhere=10.2)

    assert scope.wait_seconds(10.2) <= FIRST_PAUSE_SECONDS
