"""The whole translation: each status, problem and library exception becomes a value of the port or an outage. Pure."""

import asyncio
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

import aiohttp
import httpx

from services.carepatron_writer.platforms.port import Answer, Conflict, OutcomeUnknown, Parked, Rejected, Stale
from shared.errors import Unavailable
from shared.outcomes import Reason

SANE_SECONDS = 86_400.0  # a wish beyond a day is a mistake, not a wish
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,3})?")
_CODE = re.compile(r"[a-z][a-z0-9-]{1,40}")
_POINTER = re.compile(r"[A-Za-z0-9_./-]{1,80}")


class Retry(StrEnum):
    """Answers that say nothing for good."""

    UNKNOWN = "unknown"  # a write may have happened: read back first
    UNSENT = "unsent"  # nothing happened
    TARGET_DOWN = "target down"  # nothing happened, and the same awaits every other request
    LIMITED = "limited"  # nothing happened, and the platform asks everybody to wait


# Statuses that mean the same whatever the problem's code; ranges stand below.
STATUSES: dict[int, Answer | Retry] = {
    400: Rejected(Reason.PLATFORM_REJECTED),
    401: Retry.TARGET_DOWN,  # after the one refresh of the key
    403: Parked(Reason.PLATFORM_FORBIDDEN),
    404: Parked(Reason.CONTACT_MISSING),
    405: Rejected(Reason.PLATFORM_REJECTED),
    408: Retry.UNKNOWN,
    409: Retry.UNKNOWN,  # unless its code says more: read again and decide
    410: Rejected(Reason.CONTACT_MERGED),
    412: Retry.UNKNOWN,  # read again and decide
    413: Rejected(Reason.CONTENT_TOO_LARGE),
    415: Rejected(Reason.UNSUPPORTED_MEDIA_TYPE),
    422: Rejected(Reason.PLATFORM_REJECTED),
    423: Retry.UNSENT,
    425: Retry.UNSENT,
    429: Retry.LIMITED,
    507: Parked(Reason.PLATFORM_QUOTA),
}
# Codes that say more than their status.
CODES: dict[tuple[int, str], Answer] = {
    (409, "stale-version"): Stale(),
    (409, "version-conflict"): Conflict(),
    (409, "contact-archived"): Rejected(Reason.CONTACT_ARCHIVED),
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
    code: str | None = None  # of the problem
    where: str | None = None  # the first error's pointer


def classify(said: Said) -> Answer | Retry | None:
    """What a status and a problem's code mean; None for success."""
    known = CODES.get((said.status, said.code or "")) or STATUSES.get(said.status)
    if isinstance(known, Rejected):
        return Rejected(known.reason, said.where)
    if isinstance(known, Parked):
        return Parked(known.reason, said.where)
    if known is not None:
        return known
    if said.status in (200, 201):
        return None
    if 300 <= said.status < 400:
        return Retry.TARGET_DOWN  # redirects are not followed: the address is wrong
    if 400 <= said.status < 500:
        return Rejected(Reason.PLATFORM_REJECTED, said.where)
    return Retry.UNKNOWN  # 5xx, and successes that the contract does not know


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


def retry_after(written: str | None, *, now: float, cap_seconds: float) -> float | None:
    """`Retry-After` as seconds from `now` (UNIX time): written as seconds, HTTP date or UNIX time. None when absent or absurd."""
    text = (written or "").strip()
    if _NUMBER.fullmatch(text):
        number = float(text)
        seconds = number if number <= SANE_SECONDS else number - now
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(seconds, cap_seconds) if 0 <= seconds <= SANE_SECONDS else None


def said(status: int, body: object) -> Said:
    """The status, the problem's code and its first pointer; texts of the platform stay behind, they may quote content."""
    if not isinstance(body, dict):
        return Said(status)
    code, errors = body.get("code"), body.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    pointer = first.get("pointer")
    return Said(
        status,
        code if isinstance(code, str) and _CODE.fullmatch(code) else None,
        pointer if isinstance(pointer, str) and _POINTER.fullmatch(pointer) else None,
    )
