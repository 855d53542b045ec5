"""In front of the contract: every request is counted, then chaos may strike, then the contract answers."""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.carepatron_writer.platforms.carepatron.sandbox.clinic import Clinic
from services.carepatron_writer.platforms.carepatron.sandbox.door import Door
from services.carepatron_writer.platforms.carepatron.sandbox.faults import refuse
from services.carepatron_writer.platforms.carepatron.sandbox.keys import AccountKey
from services.carepatron_writer.platforms.carepatron.sandbox.limits import Limits
from services.carepatron_writer.platforms.carepatron.sandbox.records import Records

_ACCOUNT = re.compile(r"/v1/providers/([^/]+)/")
_CONTACT = re.compile(r"/v1/providers/[^/]+/contacts/([^/]+)")


class Gate:
    """ASGI middleware: the limits. Requests outside an account are not counted."""

    def __init__(self, app: ASGIApp, door: Door, limits: Limits) -> None:
        self._app = app
        self._door = door
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it in, or say "later"."""
        match = _ACCOUNT.match(scope["path"]) if scope["type"] == "http" else None
        if match is None:
            await self._app(scope, receive, send)
            return
        key = "known" if self._limits.windows and self._door.is_open(Headers(scope=scope)) else "unknown"
        refusal = self._limits.refuse(scope, key, match[1])
        if refusal is not None:
            await refuse(refusal, scope, receive, send)
        else:
            await self._app(scope, receive, send)


class SandboxHand:
    """What chaos may do beside a request."""

    def __init__(self, records: Records, clinic: Clinic, door: Door, key: AccountKey) -> None:
        self._records = records
        self._clinic = clinic
        self._door = door
        self._key = key

    def merge(self, path: str, *, moves: bool) -> bool:
        """Merge the contact in this path into a new one of the same name; whether there was one."""
        match = _CONTACT.match(path)
        contact = self._records.contacts.get(match[1]) if match else None
        if contact is None or contact.status == "merged":
            return False
        self._clinic.merge(contact, moves=moves)
        return True

    def has_key(self, scope: Scope) -> bool:
        """Whether the request's key is good."""
        return self._door.is_open(Headers(scope=scope))

    def expire_key(self) -> None:
        """The key opens nothing until it is changed."""
        self._key.expire()
