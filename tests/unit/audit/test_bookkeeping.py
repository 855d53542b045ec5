"""The books as values: gaps are cut where duty ends, equations hold or say why not."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.audit.bookkeeping import Books, Counted, Equation, Gap, HopSums, Missing, Span, books_line, equations, split_gaps

AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
TOPIC = "document.received.v1"


def test_a_gap_is_cut_at_what_kafka_keeps_and_at_what_is_committed() -> None:
    spans = [Span(TOPIC, 0, begin=10, end=100, committed=50)]

    assert ([], [Gap(TOPIC, 0, 20, 49)], [Gap(TOPIC, 0, 50, 60)]) == split_gaps(spans, [Gap(TOPIC, 0, 20, 60)])


def test_records_that_retention_took_unread_are_expired() -> None:
    spans = [Span(TOPIC, 0, begin=10, end=100, committed=5)]

    expired, owed, in_flight = split_gaps(spans, [Gap(TOPIC, 0, 5, 99)])

    assert ([Gap(TOPIC, 0, 5, 9)], [], [Gap(TOPIC, 0, 10, 99)]) == (expired, owed, in_flight)


def test_a_group_that_never_committed_owes_nothing() -> None:
    assert ([], [], [Gap(TOPIC, 0, 10, 99)]) == split_gaps([Span(TOPIC, 0, 10, 100, None)], [Gap(TOPIC, 0, 10, 99)])


@given(st.integers(0, 50), st.integers(0, 50), st.none() | st.integers(0, 120), st.data())
def test_no_offset_is_counted_twice_or_forgotten(begin: int, length: int, committed: int | None, data: st.DataObject) -> None:
    span = Span(TOPIC, 0, begin, begin + length, committed)
    first = data.draw(st.integers(span.low, span.end))
    last = data.draw(st.integers(first - 1, max(span.end - 1, first - 1)))

    parts = split_gaps([span], [Gap(TOPIC, 0, first, last)])

    covered = [offset for part in parts for gap in part for offset in range(gap.first, gap.last + 1)]
    assert list(range(first, last + 1)) == covered


def counted(stage: str, status: str, rows: int, *, hanging: int = 0, passed_on: int = 0) -> Counted:
    """Rows of a status."""
    return Counted(stage, status, status not in ("received", "normalized"), rows, hanging, passed_on)


WHOLE = [
    counted("ingest", "received", 8, passed_on=8),
    counted("ingest", "duplicate", 1),
    counted("ingest", "rejected", 1),
    counted("normalizer", "normalized", 7, passed_on=12),
    counted("normalizer", "skipped", 1),
    counted("carepatron_writer", "created", 11),
]
SUMS = {"ingest": HopSums(10, 10, 0, 0), "normalizer": HopSums(8, 8, 0, 0), "carepatron_writer": HopSums(12, 11, 1, 0)}


def test_whole_books_hold() -> None:
    lines = {one.name: one for one in equations(WHOLE, SUMS, {"normalizer": (1, 0)})}

    assert all(one.holds for one in lines.values()), lines
    assert lines["items of published records"].terms == {"passed on": 8, "duplicate": 1, "quarantined": 1}
    assert lines["passed on by carepatron_writer".replace("carepatron_writer", "normalizer")].terms == {
        "terminal": 11,
        "in flight": 1,
        "missing": 0,
    }


def test_a_missing_record_breaks_its_line_alone() -> None:
    sums = {**SUMS, "normalizer": HopSums(8, 7, 0, 1)}

    assert [one.name for one in equations(WHOLE, sums, {"normalizer": (1, 0)}) if not one.holds] == ["received records"]


def test_an_item_left_hanging_breaks_the_books() -> None:
    rows = [counted("ingest", "received", 2, hanging=1, passed_on=1)]

    (broken,) = [one for one in equations(rows, {}, {}) if not one.holds]

    assert (broken.name, broken.terms) == ("items of published records", {"passed on": 1, "left hanging": 1})


def test_a_writer_that_does_not_end_what_it_got_breaks_the_books() -> None:
    rows = [counted("carepatron_writer", "normalized", 1)]

    assert [one.name for one in equations(rows, {}, {}) if not one.holds] == ["items of normalized records"]


def test_sums_that_do_not_agree_do_not_hold() -> None:
    assert not Equation("x", 3, {"a": 1, "b": 1}).holds


def test_the_line_says_how_the_books_stand() -> None:
    lost = Missing(TOPIC, 1, 2, "normalizer", "no_outcome")

    assert books_line(Books(AT, ())) == "Every document published until 14:05 is accounted for."
    assert books_line(Books(AT, (), in_flight=1)) == "Every document published until 14:05 is accounted for; 1 item is still on the way."
    assert books_line(Books(AT, (), (lost,))) == "1 record is unaccounted for."
    assert books_line(Books(AT, (), (lost,), missing_unnamed=2)) == "3 records are unaccounted for."
    assert books_line(Books(AT, (Equation("x", 1, {}),))) == "The sums do not agree: x."
