"""`/sandbox/…`: what only a sandbox has, without a key. Effects and mails to see, chaos, limits and switches to set, the clinic's hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.carepatron_writer.platforms.carepatron.sandbox.chaos import Chaos
from services.carepatron_writer.platforms.carepatron.sandbox.clinic import Clinic
from services.carepatron_writer.platforms.carepatron.sandbox.clock import Clock
from services.carepatron_writer.platforms.carepatron.sandbox.door import Door
from services.carepatron_writer.platforms.carepatron.sandbox.keys import AccountKey
from services.carepatron_writer.platforms.carepatron.sandbox.limits import Limits
from services.carepatron_writer.platforms.carepatron.sandbox.parsing import read_object
from services.carepatron_writer.platforms.carepatron.sandbox.plans import plans_in
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Contact, Records
from services.carepatron_writer.platforms.carepatron.sandbox.refusals import read_or_refuse
from services.carepatron_writer.platforms.profile import Evidence, Window

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Controls:
    """The handlers. GET shows, POST changes and shows."""

    records: Records
    clock: Clock
    key: AccountKey
    door: Door
    clinic: Clinic
    limits: Limits
    chaos: Chaos

    def routes(self) -> list[BaseRoute]:
        """All of them."""
        return [
            Route("/sandbox/effects", self._effects, methods=["GET"]),
            Route("/sandbox/mail", self._mail, methods=["GET"]),
            Route("/sandbox/state-hash", self._state_hash, methods=["GET"]),
            self._control("chaos", self._show_chaos, self._set_chaos),
            self._control("limits", self.limits.state, self._set_limits),
            self._control("switches", lambda: self.door.switches.as_json(), self._set_switches),
            self._control("clock", lambda: {"now": self.clock.text(), "ahead_seconds": self.clock.ahead_seconds}, self._set_clock),
            self._control("key", dict, self._set_key),
            Route("/sandbox/contacts/{contactId}/status", self._change_status, methods=["POST"]),
            Route("/sandbox/contacts/{contactId}/merge", self._merge, methods=["POST"]),
        ]

    async def _effects(self, request: Request) -> Response:
        """Every change of the state in order, also what reached somebody (`reaches`)."""
        return self._since(request, "effects", self.records.effects)

    async def _mail(self, request: Request) -> Response:
        """What the platform would have written to people."""
        return self._since(request, "mails", self.records.mails)

    async def _state_hash(self, _: Request) -> Response:
        documents = sum(len(one.documents) for one in self.records.contacts.values())
        counts = {"contacts": len(self.records.contacts), "documents": documents, "effects": len(self.records.effects)}
        return answer({"hash": self.records.state_hash(), **counts})

    def _since(self, request: Request, name: str, found: list[dict[str, Any]]) -> Response:
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit()):
            return problem("invalid-request", errors=[("/after", "must be a number")])
        return answer({name: found[int(after) :], "total": len(found)})

    def _show_chaos(self) -> Any:
        plans = self.chaos.state()
        first = plans[0] if plans else {"profile": "none", "rate": 1.0}
        return {"profile": first["profile"], "rate": first["rate"], "plans": plans}

    def _set_chaos(self, body: Body) -> None:
        self.chaos.set(plans_in(body))

    def _set_limits(self, body: Body) -> None:
        said = {"evidence": Evidence.MODELLED}
        windows = tuple(Window.model_validate({"name": f"w{number}", **said, **one}) for number, one in enumerate(body["windows"]))
        self.limits.set(windows, body.get("form", "seconds"), body.get("status"))

    def _set_switches(self, body: Body) -> None:
        self.door.switches = self.door.switches.changed(body)

    def _set_clock(self, body: Body) -> None:
        self.clock.ahead_seconds = min(max(0.0, float(body["ahead_seconds"])), 1e9)

    def _set_key(self, body: Body) -> None:
        if not isinstance(body["key"], str) or not body["key"].isascii():
            raise ValueError("key")
        self.key.change(body["key"])

    async def _change_status(self, request: Request) -> Response:
        """Archive, restore or merge a contact, and nothing else."""
        contact = self.records.contacts.get(request.path_params["contactId"])
        body = await read_or_refuse(read_object(request))
        if isinstance(body, Response) or contact is None:
            return body if isinstance(body, Response) else problem("not-found")
        into = body.get("mergedInto")
        if body.get("status") not in ("active", "archived", "merged") or not (into is None or isinstance(into, str)):
            return problem("invalid-request", errors=[("/status", "must be active, archived or merged")])
        self.clinic.change_status(contact, body["status"], into)
        return answer(contact.as_json())

    async def _merge(self, request: Request) -> Response:
        """Merge a contact as the platform does, into another one or a new one."""
        contact = self.records.contacts.get(request.path_params["contactId"])
        body = await read_or_refuse(read_object(request))
        if isinstance(body, Response) or contact is None:
            return body if isinstance(body, Response) else problem("not-found")
        into: Contact | None = self.records.contact(contact.account, str(body["into"])) if "into" in body else None
        is_possible = contact.status != "merged" and into is not contact and (into is None or into.status != "merged")
        if not is_possible or ("into" in body and into is None) or not isinstance(body.get("moves", True), bool):
            return problem("invalid-request", errors=[("/into", "must be another contact of the account")])
        return answer(self.clinic.merge(contact, into, moves=body.get("moves", True)).as_json())

    def _control(self, name: str, show: Callable[[], Any], change: Callable[[Body], None]) -> Route:
        async def control(request: Request) -> Response:
            if request.method == "POST":
                body = await read_or_refuse(read_object(request))
                if isinstance(body, Response):
                    return body
                try:
                    change(body)
                except (ValueError, TypeError, KeyError, ValidationError):
                    return problem("invalid-request")
            return answer(show())

        return Route(f"/sandbox/{name}", control, methods=["GET", "POST"])
