"""Questions for a person and what is read back, on a real database; the platform and the broker are fakes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from services.carepatron_writer.handlers import write_documents
from services.carepatron_writer.links import PostgresLedger
from services.carepatron_writer.parking import list_parked, release
from services.carepatron_writer.reviews import NotPossible, Reviews
from services.carepatron_writer.routes import writer_routes
from services.carepatron_writer.verification import Scope, repair, verify_platform
from shared.canonical.elements import HumanName
from shared.delivery.records import Record
from shared.errors import Unavailable
from shared.outcomes import Outcome, Reason, Rejected, Skipped
from shared.postgres import open_pool
from shared.sync_requests import read_request
from shared.testing import MemoryContentStore
from tests.contract.writing_fakes import (
    NEWER,
    MemoryPlatform,
    PlainRenderer,
    a_document,
    a_key,
    a_patient,
    document_record,
    patient_record,
)


class MemorySender:
    """What would have gone to topics."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    async def send_all(self, items: Any) -> list[str]:
        self.items += items
        return ["x/0/0" for _ in items]

    def asked_for(self) -> list[tuple[str | None, str | None]]:
        found = [read_request(value) for _, _, value, _ in self.items]
        return [(one.patient_key, one.document_id) for one in found]


class Desk:
    """A writer over a database, a platform in memory, and reviews. Offsets count up, so that every record has a place of its own."""

    def __init__(self, pool: Any, ledger: PostgresLedger) -> None:
        self.pool = pool
        self.platform = MemoryPlatform()
        self.sender = MemorySender()
        self.reviews = Reviews(pool, {"carepatron": self.platform}, self.sender)
        self.now = 0.0
        self._handler = write_documents(
            ledger, {"carepatron": self.platform}, MemoryContentStore(), PlainRenderer(), park_after_seconds=900, clock=lambda: self.now
        )
        self._offset = 0

    async def deliver(self, *records: Record) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for one in records:
            self._offset += 1
            outcomes += await self._handler(one._replace(offset=self._offset))
        return outcomes

    async def report(self, **scope: Any) -> Any:
        return await verify_platform(self.pool, {"carepatron": self.platform}, Scope(**scope))


@asynccontextmanager
async def desk(url: str) -> AsyncIterator[Desk]:
    pool = await open_pool(url, application_name="test")
    ledger = PostgresLedger(pool)
    try:
        yield Desk(pool, ledger)
    finally:
        await ledger.aclose()
        await pool.close()


def _pair() -> tuple[Any, Any, Any]:
    """A patient, another one who looks alike, and a document of the latter."""
    first = a_patient(a_key())
    other = a_patient(a_key(), name=HumanName(family=first.name.family if first.name else None, given=["Test"]))
    return patient_record(first, offset=0), patient_record(other, offset=0), document_record(a_document(str(other.id)), offset=0)


def _said(outcomes: list[Outcome]) -> list[Any]:
    return [one.reason if isinstance(one, (Rejected, Skipped)) else one.status.value for one in outcomes]


def test_a_question_waits_for_a_person_and_creating_settles_it(migrated_url: str) -> None:
    known, alike, document = _pair()
    key = str(alike.key, "ascii")

    async def run() -> Any:
        async with desk(migrated_url) as at:
            waiting = await at.deliver(known, alike, document)
            (asked,) = await at.reviews.list(state="open", patient_key=key)
            decided = await at.reviews.decide("carepatron", key, "create", None, "Dr Mira Okafor")
            after = await at.deliver(alike, document)
            return waiting, asked, decided, after, at.sender.asked_for(), len(at.platform.clients)

    waiting, asked, decided, after, requests, clients = asyncio.run(run())

    assert _said(waiting) == ["created", Reason.POSSIBLE_DUPLICATE, Reason.POSSIBLE_DUPLICATE]
    assert (asked.documents_waiting, [one["agrees"] for one in asked.candidates]) == (1, [["name", "birth_date"]])
    assert (decided.state, [one.decided_by for one in decided.decisions]) == ("create", ["Dr Mira Okafor"])
    assert requests == [(key, None)]
    assert _said(after) == ["created", "created"]
    assert clients == 2


def test_a_decision_may_be_turned_round_and_leaves_nothing_at_the_wrong_client(migrated_url: str) -> None:
    known, alike, document = _pair()
    key, document_id = str(alike.key, "ascii"), dict(document.headers)["ce_documentid"].decode()

    async def run() -> Any:
        async with desk(migrated_url) as at:
            await at.deliver(known, alike, document)
            (wrong,) = at.platform.clients
            await at.reviews.decide("carepatron", key, "link", wrong, "Ann")
            linked = await at.deliver(alike, document)
            await at.reviews.decide("carepatron", key, "create", None, "Ben")
            moved = await at.deliver(alike, document)
            await at.reviews.decide("carepatron", key, "leave", None, "Cy")
            left = await at.deliver(alike, document)
            review = await at.reviews.get("carepatron", key)
            return wrong, linked, moved, left, at.platform.clients, review

    wrong, linked, moved, left, clients, review = asyncio.run(run())
    (right,) = set(clients) - {wrong}

    assert _said(linked) == ["updated", "created"]
    assert _said(moved) == ["created", "created"]
    assert _said(left) == [Reason.LEFT_OUT_BY_CLINIC] * 2
    assert list(clients[wrong].withdrawn) == list(clients[right].withdrawn) == [document_id]
    assert clients[wrong].card.patient_key == ""
    assert [(one.decision, one.decided_by) for one in review.decisions] == [("link", "Ann"), ("create", "Ben"), ("leave", "Cy")]


def test_a_decision_that_broke_off_is_carried_out_again(migrated_url: str) -> None:
    known, alike, document = _pair()
    key = str(alike.key, "ascii")

    async def run() -> Any:
        async with desk(migrated_url) as at:
            await at.deliver(known, alike, document)
            (client,) = at.platform.clients
            await at.reviews.decide("carepatron", key, "link", client, "Ann")
            await at.deliver(alike, document)
            at.platform.faults = ["down"]
            with pytest.raises(Exception, match="down"):
                await at.reviews.decide("carepatron", key, "create", None, "Ben")
            (moving,) = await at.reviews.list(patient_key=key)
            with pytest.raises(Exception, match="decision"):
                await at.deliver(alike)
            return moving.state, (await at.reviews.decide("carepatron", key, "create", None, "Ben")).state

    assert asyncio.run(run()) == ("moving", "create")


@pytest.mark.parametrize(
    ("choice", "client", "code"),
    [("link", None, "client_needed"), ("create", "x", "client_needed"), ("link", "somebody-else", "not_a_candidate")],
)
def test_what_cannot_be_decided_changes_nothing(migrated_url: str, choice: Any, client: str | None, code: str) -> None:
    known, alike, _ = _pair()
    key = str(alike.key, "ascii")

    async def run() -> Any:
        async with desk(migrated_url) as at:
            await at.deliver(known, alike)
            with pytest.raises(NotPossible) as caught:
                await at.reviews.decide("carepatron", key, choice, client, "Ann")
            with pytest.raises(NotPossible) as unasked:
                await at.reviews.decide("carepatron", a_key(), "leave", None, "Ann")
            return caught.value.code, unasked.value.code, (await at.reviews.list(patient_key=key))[0].state

    assert asyncio.run(run()) == (code, "no_review", "open")


def test_the_routes_decide_and_say_what_is_wrong(migrated_url: str) -> None:
    known, alike, _ = _pair()
    key = str(alike.key, "ascii")

    async def run() -> Any:
        async with desk(migrated_url) as at:
            await at.deliver(known, alike)
            app = Starlette(routes=writer_routes(at.reviews, {"carepatron": at.platform}, at.pool, at.sender))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://writer") as client:
                path = f"/v1/reviews/carepatron/{key}"
                listed = (await client.get("/v1/reviews", params={"state": "open", "patient": key})).json()["items"]
                bodies: list[Any] = [{}, [], {"decision": "merge"}, {"decision": "leave"}, {"decision": "link", "decided_by": "Ann"}]
                wrong = [(await client.post(f"{path}/decision", json=body)).json()["code"] for body in bodies]
                missing = [(await client.get(f"/v1/reviews/carepatron/{one}")).status_code for one in (a_key(), "x")]
                decided = await client.post(f"{path}/decision", json={"decision": "leave", "decided_by": "Ann"})
                return listed, wrong, missing, decided, (await client.get("/v1/limits")).json()

    listed, wrong, missing, decided, limits = asyncio.run(run())

    assert [one["patient_key"] for one in listed] == [key]
    assert wrong == ["invalid_decision", "malformed_json", "invalid_decision", "invalid_decision", "client_needed"]
    assert missing == [404, 404]
    assert (decided.status_code, decided.json()["state"]) == (200, "leave")
    assert [one["destination_id"] for one in limits["items"]] == ["carepatron"]


def test_what_platforms_have_is_compared_and_written_again_only_where_it_differs(migrated_url: str) -> None:
    key = a_key()
    documents = {name: a_document(key) for name in ("fine", "missing", "spoilt", "stale", "taken_back", "shown_again")}
    ids = {name: str(one.id) for name, one in documents.items()}
    records = {name: document_record(one, offset=0) for name, one in documents.items()}

    async def run() -> Any:
        async with desk(migrated_url) as at:
            newer = document_record(documents["stale"], offset=0, version=NEWER)
            gone = document_record(documents["shown_again"], offset=0, version=NEWER, action="withdraw")
            await at.deliver(patient_record(a_patient(key), offset=0), *records.values(), newer, gone)
            (client,) = at.platform.clients.values()
            before = await at.report(patient_key=key)
            del client.documents[ids["missing"]]
            client.documents[ids["stale"]].pop()
            client.withdrawn[ids["taken_back"]] = "z"
            del client.withdrawn[ids["shown_again"]]
            client.documents["extra"] = [replace(client.documents[ids["fine"]][0], document_id="extra")]
            at.platform.spoilt[ids["spoilt"]] = b"other"
            report = await at.report(patient_key=key)
            await repair(at.pool, report, at.sender)
            at.platform.spoilt.clear()
            effects = len(at.platform.effects)
            await at.deliver(*records.values(), newer, gone)
            after = await at.report(patient_key=key)
            return before, report, at.sender.asked_for(), at.platform.effects[effects:], after

    before, report, requests, effects, after = asyncio.run(run())
    wrong = {one.document_id: one.what for one in report.differences}

    assert (before.documents, before.differences) == (6, [])
    assert wrong == {
        ids["missing"]: "missing",
        ids["spoilt"]: "different",
        ids["stale"]: "stale",
        ids["taken_back"]: "withdrawn_there",
        ids["shown_again"]: "not_withdrawn",
        "extra": "extra",
    }
    asked = {ids[name] for name in ("missing", "spoilt", "stale", "shown_again")}
    assert {document for _, document in requests} == asked
    assert report.repaired == 4
    assert {one for one, _ in effects} == asked
    assert len(effects) == 4
    assert {one.document_id: one.what for one in after.differences} == {ids["taken_back"]: "withdrawn_there", "extra": "extra"}


def test_a_client_that_is_gone_is_made_again_with_everything(migrated_url: str) -> None:
    key = a_key()
    patient, document = patient_record(a_patient(key), offset=0), document_record(a_document(key), offset=0)

    async def run() -> Any:
        async with desk(migrated_url) as at:
            await at.deliver(patient, document)
            at.platform.clients.clear()
            report = await at.report(patient_key=key)
            await repair(at.pool, report, at.sender)
            outcomes = await at.deliver(patient, document)
            return [one.what for one in report.differences], at.sender.asked_for(), outcomes, (await at.report(patient_key=key)).differences

    found, requests, outcomes, left = asyncio.run(run())

    assert (found, requests) == (["client_missing"], [(key, None)])
    assert _said(outcomes) == ["created", "created"]
    assert left == []


def test_a_patient_for_whom_alone_the_platform_fails_is_parked_and_released_in_order(migrated_url: str) -> None:
    key, other = a_key(), a_key()
    documents = [document_record(a_document(key), offset=0) for _ in range(2)]

    async def run() -> Any:
        async with desk(migrated_url) as at:
            await at.deliver(patient_record(a_patient(key), offset=0), patient_record(a_patient(other), offset=0))
            at.platform.faults = ["unknown"]
            with pytest.raises(Unavailable):
                await at.deliver(documents[0])
            at.now = 1000.0
            await at.deliver(document_record(a_document(other), offset=0))
            at.platform.faults = ["unknown"]
            parked = await at.deliver(documents[0])
            calls = len(at.platform.calls)
            behind = await at.deliver(documents[1])
            listed = [one for one in await list_parked(at.pool) if one["patient_key"] == key]
            is_left_alone = calls == len(at.platform.calls)
            await release(at.pool, at.sender, "carepatron", key)
            with pytest.raises(NotPossible):
                await release(at.pool, at.sender, "carepatron", key)
            return parked + behind, listed, is_left_alone, at.sender.asked_for(), await at.deliver(*documents)

    outcomes, listed, is_left_alone, requests, after = asyncio.run(run())

    assert _said(outcomes) == [Reason.PATIENT_PARKED] * 2
    assert [(one["destination_id"], one["why"]) for one in listed] == [("carepatron", "timeout")]
    assert is_left_alone
    assert requests == [(key, None)]
    assert _said(after) == ["created", "created"]


def test_nobody_is_parked_while_the_platform_fails_for_all(migrated_url: str) -> None:
    key = a_key()

    async def run() -> Any:
        async with desk(migrated_url) as at:
            await at.deliver(patient_record(a_patient(key), offset=0))
            for at.now in (1.0, 2000.0, 4000.0):
                at.platform.faults = ["unknown"]
                with pytest.raises(Unavailable):
                    await at.deliver(document_record(a_document(key), offset=0))
            return [one for one in await list_parked(at.pool) if one["patient_key"] == key]

    assert asyncio.run(run()) == []
