from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.tracker import PartitionTracker

gaps = st.lists(st.integers(1, 5), min_size=1, max_size=60)


def offsets_of(steps: list[int]) -> list[int]:
    offsets, at = [], 100
    for step in steps:
        offsets.append(at)
        at += step
    return offsets


@given(gaps, st.randoms(use_true_random=False))
def test_the_mark_is_the_first_offset_not_done_in_whatever_order_work_ends(steps, chance):
    offsets = offsets_of(steps)
    tracker = PartitionTracker(epoch=1)
    for offset in offsets:
        tracker.hand_out(offset)
    order = list(offsets)
    chance.shuffle(order)

    done: set[int] = set()
    for offset in order:
        left = [one for one in offsets if one not in done]
        assert left[0] == tracker.mark
        assert len(left) == tracker.outstanding
        tracker.done(offset)
        done.add(offset)

    assert offsets[-1] + 1 == tracker.mark
    assert tracker.outstanding == 0


@given(gaps, st.data())
def test_the_mark_never_falls_and_never_passes_work_that_is_not_done(steps, data):
    offsets = offsets_of(steps)
    tracker = PartitionTracker()
    handed: list[int] = []
    done: set[int] = set()
    marks = []
    waiting = list(offsets)

    while waiting or len(done) < len(handed):
        may_finish = [one for one in handed if one not in done]
        if waiting and (not may_finish or data.draw(st.booleans())):
            offset = waiting.pop(0)
            tracker.hand_out(offset)
            handed.append(offset)
        else:
            offset = data.draw(st.sampled_from(may_finish))
            tracker.done(offset)
            done.add(offset)
        mark = tracker.mark
        assert mark is not None
        marks.append(mark)
        assert all(one in done for one in handed if one < mark)

    assert sorted(marks) == marks


def test_an_offset_fetched_twice_is_handed_out_once():
    tracker = PartitionTracker()
    assert tracker.hand_out(7)

    assert not tracker.hand_out(7)
    assert not tracker.hand_out(3)
    assert tracker.hand_out(9)


def test_nothing_handed_out_leaves_nothing_to_commit():
    assert PartitionTracker().mark is None


def test_a_late_or_repeated_completion_changes_nothing():
    tracker = PartitionTracker()
    for offset in (1, 2, 3):
        tracker.hand_out(offset)
    tracker.done(1)
    tracker.done(1)
    tracker.done(0)

    assert tracker.mark == 2
    assert tracker.outstanding == 2
