"""From outcome records to rows: strict about what makes a row, forgiving about the rest."""

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.audit.core import MAX_INT, MAX_TEXT, Unreadable, row_of
from services.audit.desk import quarantined_row
from shared.identity import outcome_id
from shared.outcomes import TERMINAL, LossCounts, OutcomeRecorded, Status, encode_outcome

ID = outcome_id("document.received.v1", 3, 7, "normalizer")
GIVEN = {
    "id": ID,
    "stage": "normalizer",
    "status": "normalized",
    "timestamp": "2026-11-23T15:05:06.123+01:00",
    "topic": "document.received.v1",
    "partition": 3,
    "offset": 7,
}


def encoded(**changes: object) -> bytes:
    """An outcome record with some fields changed."""
    return orjson.dumps({**GIVEN, **changes})


def column(row: object, name: str) -> object:
    """A value of a row by the name of its column."""
    assert isinstance(row, dict), row
    return row[name]


def test_every_field_of_an_outcome_has_its_place_in_the_row() -> None:
    lists = {"warnings": ("unit_unknown", "time_without_zone"), "passed_on": ("document.normalized.v1/1/2", "document.normalized.v1/1/3")}
    numbers = {"partition": 3, "offset": 7, "part": 2, "attempt": 4, "duration_ms": 55, "size": 999}
    renamed = {"patient_key": "patient_id", "provider_id": "provider"}
    losses = LossCounts(9, 2, 4, {"PID-15": 3, "a sender's word": 1})
    marks = ("potassium:out_of_range", "a sender's word")
    others = {*GIVEN, *lists, *numbers, "losses", "nutrition"}
    texts = {one.name: f"{one.name} text" for one in msgspec.structs.fields(OutcomeRecorded) if one.name not in others}
    texts |= {"patient_key": ID, "document_id": ID}

    row = row_of(encode_outcome(OutcomeRecorded(**{**GIVEN, **texts, **lists, **numbers, "losses": losses, "nutrition": marks})))

    for name, value in {**texts, **numbers}.items():
        if name != "defect":
            assert str(value) == str(column(row, renamed.get(name, name))), name
    assert column(row, "details") == {
        "defect": "defect text",
        "losses": {"mapped": 9, "left_out": 2, "unmapped": 4, "paths": {"PID-15": 3}},
        "nutrition": ["potassium:out_of_range"],
    }
    assert [list(lists["warnings"]), list(lists["passed_on"])] == [column(row, "warnings"), column(row, "passed_on")]
    assert column(row, "timestamp").isoformat() == "2026-11-23T14:05:06.123000+00:00"  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [*Status, "parked_by_a_newer_version"])
def test_what_goes_on_elsewhere_is_not_terminal(status: str) -> None:
    expected = status not in ("received", "normalized", "requested")

    assert expected == column(row_of(encoded(status=status)), "is_terminal")
    assert {one for one in Status if one not in ("received", "normalized", "requested")} == TERMINAL


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"id": "no uuid"}, "id"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
        ({"stage": "<b>"}, "stage"),
        ({"status": "Done; DROP TABLE"}, "status"),
        ({"topic": "a/b"}, "topic"),
        ({"topic": ""}, "topic"),
        ({"partition": -1}, "partition"),
        ({"partition": 2**31}, "partition"),
        ({"offset": 2**63}, "offset"),
        ({"part": -3}, "part"),
        ({"offset": "7"}, "value"),
        ({"status": None}, "value"),
    ],
)
def test_a_record_without_identity_is_unreadable_and_says_where(changes: dict[str, object], where: str) -> None:
    value = encoded(**changes) if changes.get("offset") != 2**63 else msgspec.json.encode({**GIVEN, **changes})

    assert Unreadable(where) == row_of(value)


@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe", b"[]", b"null", b'{"id":' + b"[" * 100_000, b"{}", b'{"id":"\\ud800"}'])
def test_bytes_that_are_no_outcome_are_unreadable(value: bytes | None) -> None:
    assert Unreadable("value") == row_of(value)


def test_what_postgres_cannot_keep_is_left_out_and_named() -> None:
    row = row_of(
        encoded(
            patient_key="Jane Doe",
            document_id="../etc",
            where="PID-3\x00.1\nforged",
            provider_id="x" * 5000,
            passed_on=["document.normalized.v1/1/2", "a/b/c/d", "x/1/99999999999999999999"],
            attempt=10**12,
            size=-5,
            a_newer_field={"deep": [1]},
        )
    )

    assert column(row, "details")["unreadable"] == ["patient_key", "document_id", "passed_on"]
    assert (column(row, "patient_id"), column(row, "document_id"), column(row, "passed_on")) == (None, None, ["document.normalized.v1/1/2"])
    assert column(row, "where") == "PID-3.1 forged"
    assert (len(str(column(row, "provider"))), column(row, "attempt"), column(row, "size")) == (MAX_TEXT, MAX_INT, 0)
    assert "Jane" not in str(row)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from([*GIVEN, "part", "where"]), st.text() | st.integers() | st.none()).map(msgspec.json.encode)
)
def test_no_bytes_make_it_raise(value: bytes) -> None:
    assert isinstance(row_of(value), (tuple, Unreadable))
    assert isinstance(quarantined_row(value), (tuple, Unreadable))
