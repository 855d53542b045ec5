"""The whole translation: each status, error code and library exception becomes a value of the port or a reason to come back. Pure."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import aiohttp
import httpx

from services.carepatron_writer.platforms.port import Answer, Conflict, OutcomeUnknown, Parked, Rejected, Stale
from services.carepatron_writer.platforms.profile import Profile, Rule
from services.carepatron_writer.platforms.profile import Retry as Wishes
from shared.errors import Unavailable
from shared.outcomes import Reason

SANE_SECONDS = 86_400.0  # a wish beyond a day is a mistake, not a wish
_NUMBER = re.compile(r"[0-9]{1,14}(?:\.[0-9]{1,3})?")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,60}")
_WHERE = re.compile(r"[A-Za-z0-9_./\[\]-]{1,80}")
_NUMBERED = re.compile(r"^(HAPI-[0-9]{4})\b")  # the one thing in a server's words that is a code


class Retry(StrEnum):
    """Answers that say nothing for good."""

    UNKNOWN = "unknown"  # a write may have happened: read back first
    AGAIN = "again"  # nothing happened: somebody was faster, read again and decide
    UNSENT = "unsent"  # nothing happened
    TARGET_DOWN = "down"  # nothing happened, and the same awaits every other request
    LIMITED = "later"  # nothing happened, and the platform asks everybody to wait


# What a status of HTTP means where the profile has no rule for it.
STATUSES: Mapping[int, Answer | Retry] = {
    400: Rejected(Reason.PLATFORM_REJECTED),
    401: Retry.TARGET_DOWN,  # after the one renewal of the credentials
    403: Parked(Reason.PLATFORM_FORBIDDEN),
    404: Parked(Reason.CONTACT_MISSING),
    405: Rejected(Reason.PLATFORM_REJECTED),
    408: Retry.UNKNOWN,
    409: Retry.AGAIN,
    410: Parked(Reason.CONTACT_MISSING),
    412: Retry.AGAIN,
    413: Rejected(Reason.CONTENT_TOO_LARGE),
    415: Rejected(Reason.UNSUPPORTED_MEDIA_TYPE),
    422: Rejected(Reason.PLATFORM_REJECTED),
    423: Retry.UNSENT,
    425: Retry.UNSENT,
    429: Retry.LIMITED,
    507: Parked(Reason.PLATFORM_QUOTA),
}
# Exceptions of httpx and of the library under it, the narrower first.
ERRORS: tuple[tuple[type[BaseException], Retry], ...] = (
    (httpx.PoolTimeout, Retry.UNSENT),
    (httpx.ProxyError, Retry.TARGET_DOWN),
    (httpx.ConnectError, Retry.TARGET_DOWN),
    (httpx.ConnectTimeout, Retry.TARGET_DOWN),
    (httpx.TimeoutException, Retry.UNKNOWN),
    (httpx.NetworkError, Retry.UNKNOWN),
    (httpx.RemoteProtocolError, Retry.UNKNOWN),
    (httpx.DecodingError, Retry.UNKNOWN),
    (httpx.StreamError, Retry.UNKNOWN),
    (aiohttp.ClientConnectorError, Retry.TARGET_DOWN),
    (aiohttp.ClientError, Retry.UNKNOWN),
    (asyncio.TimeoutError, Retry.UNKNOWN),
    (OSError, Retry.UNKNOWN),
)
CAUGHT: tuple[type[BaseException], ...] = tuple(kind for kind, _ in ERRORS)


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says, without its content."""

    status: int
    code: str | None = None  # of the error
    where: str | None = None  # the first place that it names


class Meanings:
    """What the answers of one platform mean: the profile's rules first, then HTTP's."""

    def __init__(self, profile: Profile) -> None:
        self._rules = {(one.status, one.code): _meaning(one) for one in profile.errors.rules}
        self._wishes = profile.retry

    def of(self, said: Said, success: Sequence[int] = (200, 201)) -> Answer | Retry | None:
        """What a status and an error's code mean; None for success."""
        status, code = said.status, said.code
        if status in success and code is None:
            return None
        known = self._rules.get((status, code)) or self._rules.get((status, None))
        if known is None and (status in self._wishes.statuses or code in self._wishes.codes):
            return Retry.LIMITED
        known = known or STATUSES.get(status)
        if isinstance(known, Rejected):
            return Rejected(known.reason, said.where)
        if isinstance(known, Parked):
            return Parked(known.reason, said.where)
        if known is not None:
            return known
        if 300 <= status < 400:
            return Retry.TARGET_DOWN  # redirects are not followed: the address is wrong
        if 400 <= status < 500 or (status < 300 and code is not None):
            return Rejected(Reason.PLATFORM_REJECTED, said.where)
        return Retry.UNKNOWN  # 5xx, and successes that the contract does not know


def _meaning(rule: Rule) -> Answer | Retry:
    word, _, reason = rule.meaning.partition(" ")
    match word:
        case "stale":
            return Stale()
        case "conflict":
            return Conflict()
        case "parked":
            return Parked(Reason(reason))
        case "rejected":
            return Rejected(Reason(reason))
    return Retry(word)


def classify_error(error: BaseException) -> Retry:
    """What an exception of the HTTP libraries means.

    `httpx-aiohttp` calls every broken connection a ConnectTimeout: only its cause tells a refused one from one that broke off later.
    """
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientConnectionError | aiohttp.ServerTimeoutError):
        is_unsent = isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
        return Retry.TARGET_DOWN if is_unsent else Retry.UNKNOWN
    return next((retry for kind, retry in ERRORS if isinstance(error, kind)), Retry.UNKNOWN)


def outage(target: str, retry: Retry, why: str, *, is_write: bool, retry_after_seconds: float | None = None) -> Unavailable:
    """The exception for an answer that says nothing for good."""
    if retry is Retry.UNKNOWN and is_write:
        return OutcomeUnknown(target, why, retry_after_seconds=retry_after_seconds)
    is_down = retry in (Retry.TARGET_DOWN, Retry.LIMITED)
    return Unavailable(target, why, retry_after_seconds=retry_after_seconds, is_target_down=is_down)


def wish_seconds(headers: Mapping[str, str], wishes: Wishes, *, now: float) -> float | None:
    """How long the platform asks us to wait, from `now` (UNIX time). None when it does not say, or says what makes no sense."""
    for name in wishes.headers:
        seconds = _wish(headers.get(name, ""), wishes.forms, now)
        if seconds is not None:
            return min(seconds, wishes.cap_seconds)
    return None


def _wish(written: str, forms: Sequence[str], now: float) -> float | None:
    text = written.strip()
    seconds: float | None = None
    if _NUMBER.fullmatch(text):
        number = float(text)
        if "milliseconds" in forms:
            seconds = number / 1000
        elif "seconds" in forms and number <= SANE_SECONDS:
            seconds = number
        elif "unix_seconds" in forms:
            seconds = number - now
    elif text and "http_date" in forms:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return seconds if seconds is not None and 0 <= seconds <= SANE_SECONDS else None


def said(status: int, body: object, envelope: str) -> Said:
    """The status, the error's code and its first place; texts of the platform stay behind, they may quote content."""
    if not isinstance(body, dict):
        return Said(status)
    match envelope:
        case "problem_json":
            code, where = body.get("code"), _first(body.get("errors")).get("pointer")
        case "operation_outcome":
            code, where = _issue(body) if body.get("resourceType") == "OperationOutcome" and status >= 400 else (None, None)
        case "graphql":
            error = _first(body.get("errors"))
            code, where = (error.get("extensions") or {}).get("code") if error else None, None
        case _:
            code, where = None, None
    if status < 400 and envelope != "graphql":
        return Said(status)
    return Said(status, _kept(code, _CODE), _kept(where, _WHERE))


def _issue(body: Mapping[str, Any]) -> tuple[Any, Any]:
    """R4 OperationOutcome.issue: the code, or the server's own number at the head of its words; the first expression."""
    issue = _first(body.get("issue"))
    numbered = _NUMBERED.match(str(issue.get("diagnostics") or ""))
    expressions = issue.get("expression")
    where = expressions[0] if isinstance(expressions, list) and expressions else None
    return (numbered.group(1) if numbered else issue.get("code")), where


def _first(value: object) -> Mapping[str, Any]:
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}


def _kept(value: object, pattern: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
