"""Large content by digest (claim check): a local folder by default, S3, Google or Azure storage by URL. Ingest puts, the others get."""

import asyncio
import re
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, ObjectStore, from_url

from shared.errors import Misconfigured, Unavailable
from shared.identity import digest

TARGET = "content-store"
REFERENCE = re.compile(r"sha256/[0-9a-f]{64}")
THREAD_BYTES = 1 << 20  # digests of more than this are computed beside the event loop
DEADLINE_SECONDS = 60.0

_T = TypeVar("_T")


class ContentMissing(Exception):
    """The content is not in the store, or what is there does not match its digest; trying again does not help."""

    def __init__(self, ref: str) -> None:
        super().__init__("content is missing or does not match its digest")
        self.ref = ref


class ContentStore:
    """Bytes under `sha256/<digest>`: written as a whole or not at all, never changed, verified on every read."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def open(cls, url: str) -> "ContentStore":
        """The store at `file:///path`, `s3://bucket/prefix`, `gs://…` or `az://…`; raises Misconfigured for any other URL.

        Credentials of cloud stores come from their usual environment variables.
        """
        try:
            if urlsplit(url).scheme == "file":
                return cls(LocalStore(Path(unquote(urlsplit(url).path)), mkdir=True))
            if urlsplit(url).scheme == "memory":
                return cls(from_url(url))
            # pauses are the engine's: the client gives up soon and says so
            retry: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
            return cls(from_url(url, retry_config=retry, client_options={"timeout": "30s", "connect_timeout": "5s"}))
        except (BaseError, ValueError, OSError) as error:
            raise Misconfigured("the content store cannot be opened: check CONTENT_STORE_URL") from error

    async def put(self, data: bytes) -> str:
        """Keep the bytes and give back their reference. Repeating it is harmless: it heals a damaged copy and renews its age."""
        ref = reference_to(await digest_of(data))
        await _answered(obstore.put_async(self._store, ref, data))
        return ref

    async def get(self, ref: str) -> bytes:
        """The bytes of a reference; raises ContentMissing, or Unavailable during an outage."""
        wanted = digest_in(ref)
        if wanted is None:
            raise ContentMissing(ref)
        try:
            result = await _answered(obstore.get_async(self._store, ref))
            data = bytes(await _answered(result.bytes_async()))
        except FileNotFoundError:
            raise ContentMissing(ref) from None
        if await digest_of(data) != wanted:
            raise ContentMissing(ref)
        return data


def reference_to(sha256: str) -> str:
    """The reference of content with this digest."""
    return f"sha256/{sha256}"


def digest_in(ref: str) -> str | None:
    """The digest that a reference names; None when it is no reference (a path, an upper-case digest, anything else)."""
    return ref.removeprefix("sha256/") if REFERENCE.fullmatch(ref) else None


async def digest_of(data: bytes) -> str:
    """SHA-256 of the bytes, computed beside the event loop when they are many."""
    return digest(data) if len(data) <= THREAD_BYTES else await asyncio.to_thread(digest, data)


async def _answered(call: Awaitable[_T]) -> _T:
    """What the store answers; every error but "not found" is an outage, named by its type only."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await call
    except FileNotFoundError:
        raise
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise Unavailable(TARGET, type(error).__name__, is_target_down=True) from error
    except (BaseError, OSError, TimeoutError) as error:
        raise Unavailable(TARGET, type(error).__name__) from error
