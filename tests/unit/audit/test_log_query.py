"""Searching: values are bound, cursors are opaque and exact, wrong filters are refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.audit.log_query import LogFilter, Position, page_statement

HOSTILE = "'; DROP TABLE synchronization_log; --"


def test_hostile_text_is_bound_and_never_becomes_sql() -> None:
    statement, values = page_statement(LogFilter(provider=HOSTILE, correlation=HOSTILE, replay=HOSTILE), None, 10)

    assert "DROP" not in statement
    assert values == [HOSTILE, HOSTILE, HOSTILE, 10]


def test_every_filter_becomes_one_condition() -> None:
    wanted = LogFilter.model_validate(
        {
            "patient": "0b0e7c1e-6a64-5f43-8f44-2f3f6c0a8b11",
            "document": "0b0e7c1e-6a64-5f43-8f44-2f3f6c0a8b11",
            "provider": "north",
            "status": "rejected",
            "stage": "ingest",
            "reason": "empty_content",
            "correlation": "c",
            "replay": "r",
            "since": "2026-11-23",
            "until": "2026-11-24T00:00:00+01:00",
            "terminal": "true",
        }
    )

    statement, values = page_statement(wanted, Position(datetime(2026, 1, 1, tzinfo=UTC), 5), 10)

    assert len(LogFilter.model_fields) + 3 == len(values)
    assert all(f"${number}" in statement for number in range(1, len(values) + 1))
    assert datetime(2026, 11, 23, tzinfo=UTC) in values


@pytest.mark.parametrize(
    "given_",
    [
        {"patient": "1 OR 1=1"},
        {"status": "Created"},
        {"reason": "because"},
        {"since": "soon"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"terminal": "perhaps"},
        {"provider": "a\x00b"},
        {"provider": ""},
        {"patent": "x"},
    ],
)
def test_a_wrong_filter_is_refused(given_: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as refusal:
        LogFilter.model_validate(given_)

    assert "1 OR 1=1" not in str(refusal.value)


@given(st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1)), st.integers(0, 2**63 - 1))  # noqa: DTZ001
def test_a_cursor_reads_back_what_it_was_made_of(moment: datetime, order: int) -> None:
    position = Position(moment.replace(tzinfo=UTC), order)

    assert position == Position.decode(position.encode())


@given(st.text(max_size=64))
def test_anything_else_is_no_cursor(text: str) -> None:
    try:
        position = Position.decode(text)
    except ValueError:
        return

    assert isinstance(position.timestamp + timedelta(0), datetime)
