"""The whole translation of answers and exceptions."""

import ssl
from email.utils import formatdate

import aiohttp
import httpx
import pytest

from services.carepatron_writer.platforms.http.answers import (
    ERRORS,
    STATUSES,
    Meanings,
    Retry,
    Said,
    classify_error,
    outage,
    said,
    wish_seconds,
)
from services.carepatron_writer.platforms.port import Conflict, OutcomeUnknown, Parked, Rejected, Stale
from services.carepatron_writer.platforms.profile import Retry as Wishes
from shared.outcomes import Reason
from tests.contract.writing_fakes import a_profile

NOW = 1_793_600_000.0
TABLE: list[tuple[int, str | None, object]] = [
    (200, None, None),
    (201, None, None),
    (202, None, Retry.UNKNOWN),
    (204, None, Retry.UNKNOWN),
    (301, None, Retry.TARGET_DOWN),
    (307, None, Retry.TARGET_DOWN),
    (400, None, Rejected(Reason.PLATFORM_REJECTED)),
    (401, None, Retry.TARGET_DOWN),
    (403, None, Parked(Reason.PLATFORM_FORBIDDEN)),
    (404, None, Parked(Reason.CONTACT_MISSING)),
    (405, None, Rejected(Reason.PLATFORM_REJECTED)),
    (408, None, Retry.UNKNOWN),
    (409, None, Retry.AGAIN),
    (409, "stale-version", Stale()),
    (409, "version-conflict", Conflict()),
    (409, "contact-archived", Parked(Reason.CONTACT_ARCHIVED)),
    (410, None, Parked(Reason.CONTACT_MERGED)),
    (410, "contact-merged", Parked(Reason.CONTACT_MERGED)),
    (412, None, Retry.AGAIN),
    (413, None, Rejected(Reason.CONTENT_TOO_LARGE)),
    (415, None, Rejected(Reason.UNSUPPORTED_MEDIA_TYPE)),
    (418, None, Rejected(Reason.PLATFORM_REJECTED)),
    (422, None, Rejected(Reason.PLATFORM_REJECTED)),
    (423, None, Retry.UNSENT),
    (425, None, Retry.UNSENT),
    (429, None, Retry.LIMITED),
    (500, None, Retry.UNKNOWN),
    (502, None, Retry.UNKNOWN),
    (503, None, Retry.UNKNOWN),
    (504, None, Retry.UNKNOWN),
    (507, None, Parked(Reason.PLATFORM_QUOTA)),
]


@pytest.mark.parametrize(("status", "code", "meaning"), TABLE)
def test_each_status_means_one_thing(status: int, code: str | None, meaning: object) -> None:
    assert meaning == Meanings(a_profile()).of(Said(status, code))


def test_the_list_is_whole() -> None:
    listed = {(status, code) for status, code, _ in TABLE}

    assert set(STATUSES) <= {status for status, _ in listed}
    assert {(one.status, one.code) for one in a_profile().errors.rules} <= listed


def _caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (httpx.ConnectError("x"), Retry.TARGET_DOWN),
        (httpx.ConnectTimeout("x"), Retry.TARGET_DOWN),
        (httpx.ProxyError("x"), Retry.TARGET_DOWN),
        (httpx.PoolTimeout("x"), Retry.UNSENT),
        (httpx.ReadTimeout("x"), Retry.UNKNOWN),
        (httpx.WriteTimeout("x"), Retry.UNKNOWN),
        (httpx.ReadError("x"), Retry.UNKNOWN),
        (httpx.WriteError("x"), Retry.UNKNOWN),
        (httpx.CloseError("x"), Retry.UNKNOWN),
        (httpx.RemoteProtocolError("x"), Retry.UNKNOWN),
        (httpx.DecodingError("x"), Retry.UNKNOWN),
        (httpx.StreamClosed(), Retry.UNKNOWN),
        (aiohttp.ClientPayloadError(), Retry.UNKNOWN),
        (aiohttp.ServerDisconnectedError(), Retry.UNKNOWN),
        (TimeoutError(), Retry.UNKNOWN),
        (ConnectionResetError(), Retry.UNKNOWN),
        (ssl.SSLError(), Retry.UNKNOWN),
        # what httpx-aiohttp makes of a connection that broke off after sending, and of one that was never made
        (_caused(httpx.ConnectTimeout("x"), aiohttp.ServerDisconnectedError()), Retry.UNKNOWN),
        (_caused(httpx.ConnectTimeout("x"), aiohttp.ClientOSError()), Retry.UNKNOWN),
        (_caused(httpx.TimeoutException("x"), aiohttp.ServerTimeoutError()), Retry.UNKNOWN),
        (_caused(httpx.ConnectTimeout("x"), aiohttp.ConnectionTimeoutError()), Retry.TARGET_DOWN),
    ],
)
def test_each_exception_means_one_thing(error: BaseException, retry: Retry) -> None:
    assert retry is classify_error(error)


def test_every_network_error_of_httpx_is_caught() -> None:
    caught = tuple(kind for kind, _ in ERRORS)
    ours = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.TooManyRedirects)  # defects of ours
    errors = [one for one in vars(httpx).values() if isinstance(one, type) and issubclass(one, httpx.RequestError)]

    assert [one for one in errors if not issubclass(one, (*caught, *ours)) and one.__subclasses__() == []] == []


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("0", 0),
        (formatdate(NOW + 30, usegmt=True), 30),
        (str(int(NOW) + 30), 30),
        ("86400", 300),
        (None, None),
        ("", None),
        ("315360000", None),
        ("-5", None),
        ("abc", None),
        (formatdate(NOW - 30, usegmt=True), None),
        (formatdate(NOW + 10 * 365 * 86_400, usegmt=True), None),
        ("Mon, 99 Foo 2026 00:00:00 GMT", None),
        ("9" * 400, None),
        ("1e9", None),
        ("١٢", None),
    ],
)
def test_a_wish_to_wait_in_any_form(written: str | None, seconds: float | None) -> None:
    headers = {} if written is None else {"Retry-After": written}

    assert seconds == wish_seconds(headers, Wishes(default_seconds=5, cap_seconds=300), now=NOW)


@pytest.mark.parametrize(
    ("headers", "forms", "seconds"),
    [
        ({"X-Wait": "1500"}, ("milliseconds",), 1.5),
        ({"Retry-After": "soon", "X-Wait": "9"}, ("seconds",), 9),  # the first that makes sense
        ({"X-Wait": "9"}, ("http_date",), None),
        ({"X-Wait": formatdate(NOW + 9, usegmt=True)}, ("seconds",), None),
    ],
)
def test_a_profile_says_where_and_how_a_wish_is_written(headers: dict[str, str], forms: tuple[str, ...], seconds: float | None) -> None:
    wishes = Wishes.model_validate({"headers": ("Retry-After", "X-Wait"), "forms": forms, "default_seconds": 5, "cap_seconds": 300})

    assert seconds == wish_seconds(headers, wishes, now=NOW)


def test_a_code_may_mean_later_where_the_status_does_not() -> None:
    meanings = Meanings(a_profile(retry={"codes": ("TOO_MANY_REQUESTS",)}))

    assert meanings.of(Said(200, "TOO_MANY_REQUESTS")) is Retry.LIMITED
    assert meanings.of(Said(200, "INVALID")) == Rejected(Reason.PLATFORM_REJECTED)


def test_an_unknown_outcome_concerns_writes_only() -> None:
    assert isinstance(outage("carepatron", Retry.UNKNOWN, "x", is_write=True), OutcomeUnknown)
    assert not isinstance(outage("carepatron", Retry.UNKNOWN, "x", is_write=False), OutcomeUnknown)
    assert outage("carepatron", Retry.LIMITED, "x", is_write=True, retry_after_seconds=3).is_target_down


@pytest.mark.parametrize(
    ("envelope", "body", "expected"),
    [
        ("problem_json", {"code": "stale-version", "errors": [{"pointer": "/title"}]}, Said(409, "stale-version", "/title")),
        ("problem_json", {"code": "Peanut allergy of Ann", "errors": [{"pointer": "Ann Lee"}]}, Said(409)),
        ("problem_json", {"code": 7, "errors": "x"}, Said(409)),
        ("problem_json", [], Said(409)),
        ("problem_json", None, Said(409)),
        (
            "operation_outcome",
            {
                "resourceType": "OperationOutcome",
                "issue": [{"code": "conflict", "expression": ["Patient.name[0]"], "diagnostics": "Ann Lee"}],
            },
            Said(409, "conflict", "Patient.name[0]"),
        ),
        (
            "operation_outcome",
            {"resourceType": "OperationOutcome", "issue": [{"code": "invalid", "diagnostics": "HAPI-1094: Patient/Ann Lee"}]},
            Said(409, "HAPI-1094"),
        ),
        ("operation_outcome", {"resourceType": "Patient", "issue": [{"code": "x"}]}, Said(409)),
        ("graphql", {"errors": [{"message": "Ann Lee", "extensions": {"code": "TOO_MANY_REQUESTS"}}]}, Said(409, "TOO_MANY_REQUESTS")),
        ("graphql", {"errors": [{"message": "Ann Lee"}]}, Said(409)),
        ("plain", {"code": "x"}, Said(409)),
    ],
)
def test_only_codes_and_places_are_taken_over(envelope: str, body: object, expected: Said) -> None:
    assert expected == said(409, body, envelope)
