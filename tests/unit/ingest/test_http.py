import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from services.ingest.publishing import Publisher
from services.ingest.settings import Settings
from services.ingest.sources import bodies
from services.ingest.sources.http import Door, document_routes
from services.ingest.status import DocumentStatus
from shared.canonical.reading import ProviderProfile
from shared.content_store import reference_to
from shared.errors import Unavailable
from shared.events import EventType
from shared.identity import digest
from shared.testing import MemoryContentStore
from tests.unit.ingest.fakes import MemorySender

PATIENT = "2f0c2a3e-6f1b-5a50-8d53-0e9c3c0a1b11"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class FixedStatus:
    def __init__(self) -> None:
        self.answer: DocumentStatus | Unavailable = DocumentStatus("pending", [])
        self.asked: list[str] = []

    async def fetch(self, correlation_id: str) -> DocumentStatus:
        self.asked.append(correlation_id)
        if isinstance(self.answer, Unavailable):
            raise self.answer
        return self.answer


class World:
    """The HTTP door among fakes."""

    def __init__(self, is_known: Callable[[str], bool] = lambda _: True, **settings: Any) -> None:
        self.sender = MemorySender()
        self.contents = MemoryContentStore()
        self.status = FixedStatus()
        door = Door(Publisher(self.sender, self.contents, ProviderProfile, Settings(**settings)), self.status, is_known)
        self.app = Starlette(routes=document_routes(door))

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
            return await client.request(method, path, **request)

    def post(self, content: Any = b"text", **headers: str) -> httpx.Response:
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return asyncio.run(self.ask("POST", "/v1/documents", content=content, headers=named))

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self.ask("GET", path))


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (status, status, code)


class TestTaking:
    def test_the_sender_gets_its_answer_after_the_broker_has_acknowledged(self) -> None:
        world = World()
        steps: list[str] = []

        async def acknowledge_slowly() -> None:
            await asyncio.sleep(0.05)
            steps.append("acknowledged")

        world.sender.before = acknowledge_slowly
        answer = world.post(b"text", provider_id="lab-1", content_type="text/plain", patient_key=PATIENT, traceparent=TRACE)
        steps.append("answered")

        (event,) = world.sender.events
        assert steps == ["acknowledged", "answered"]
        assert (answer.status_code, answer.json()) == (202, {"id": event.id, "status_url": f"/v1/documents/{event.id}"})
        assert answer.headers["location"] == f"/v1/documents/{event.id}"
        assert ("document.published.v1", PATIENT.encode(), b"text") == world.sender.sent[0][:3]
        assert (event.type, event.providerid, event.contenttype, event.subject, event.sha256, event.traceparent) == (
            EventType.DOCUMENT_PUBLISHED,
            "lab-1",
            "text/plain",
            PATIENT,
            digest(b"text"),
            TRACE,
        )

    def test_without_headers_it_belongs_to_the_default_provider(self) -> None:
        world = World()
        answer = world.post(b"text")

        (event,) = world.sender.events
        assert (answer.status_code, event.providerid, event.contenttype, event.subject) == (202, "default", None, None)
        assert str(uuid.UUID(event.id)) == event.id

    def test_a_resend_gets_the_same_id(self) -> None:
        world = World()
        sends = [
            ({"provider_id": "a", "idempotency_key": "k"}, b"text"),
            ({"provider_id": "a", "idempotency_key": "k"}, b"text"),
            ({"provider_id": "b", "idempotency_key": "k"}, b"text"),
            ({"provider_id": "a", "idempotency_key": "other"}, b"text"),
            ({"provider_id": "a", "idempotency_key": "k"}, b"another document"),
            ({"provider_id": "a"}, b"text"),
            ({"provider_id": "a"}, b"text"),
        ]
        ids = [world.post(content, **headers).json()["id"] for headers, content in sends]

        assert ids[0] == ids[1]
        assert len(set(ids)) == 6

    def test_large_documents_go_to_the_content_store_first(self) -> None:
        world = World(claim_check_bytes=10)
        answer = world.post(b"x" * 11)

        (event,) = world.sender.events
        assert (answer.status_code, event.data, event.contentref, event.sha256) == (
            202,
            b"",
            reference_to(digest(b"x" * 11)),
            digest(b"x" * 11),
        )
        assert world.contents.contents == {reference_to(digest(b"x" * 11)): b"x" * 11}


class TestPuttingOff:
    def test_a_broker_that_is_away(self) -> None:
        world = World()
        world.sender.fail = 1
        answer = world.post()

        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert world.post().status_code == 202

    def test_a_broker_that_does_not_answer(self) -> None:
        world = World(publish_seconds=0.05)

        async def hang() -> None:
            await asyncio.sleep(60)

        world.sender.before = hang
        answer = world.post()

        assert_problem(answer, 503, "unavailable")
        assert "retry-after" in answer.headers

    def test_a_content_store_that_is_away(self) -> None:
        world = World(claim_check_bytes=1)
        world.contents.is_down = True

        assert_problem(world.post(), 503, "unavailable")
        assert world.sender.sent == []

    def test_too_many_requests_at_once(self) -> None:
        world = World(max_requests=2)
        gate = asyncio.Event()

        async def wait() -> None:
            await gate.wait()

        world.sender.before = wait

        async def run() -> list[int]:
            tasks = [asyncio.create_task(world.ask("POST", "/v1/documents", content=b"text")) for _ in range(3)]
            await asyncio.sleep(0.05)
            gate.set()
            answers = await asyncio.gather(*tasks)
            return [one.status_code for one in [*answers, await world.ask("POST", "/v1/documents", content=b"text")]]

        statuses = asyncio.run(run())

        assert (sorted(statuses[:3]), statuses[3]) == ([202, 202, 503], 202)

    def test_too_many_bytes_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bodies, "BUFFERED_BYTES", 10)
        world = World()

        assert_problem(world.post(b"x" * 11), 503, "unavailable")
        assert world.post(b"x" * 10).status_code == 202


class TestRefusing:
    @pytest.mark.parametrize("content", [b"", b" \r\n", b"\xef\xbb\xbf", b"\xff\xfe \x00"])
    def test_empty(self, content: bytes) -> None:
        assert_problem(World().post(content), 400, "empty_content")

    def test_too_large_by_its_own_word(self) -> None:
        async def never_read() -> AsyncIterator[bytes]:
            raise AssertionError("the body was read")
            yield b""

        assert_problem(World(max_bytes=10).post(never_read(), content_length="11"), 413, "content_too_large")

    @pytest.mark.parametrize("declared", [{}, {"content_length": "5"}, {"content_length": "-1"}])
    def test_too_large_whatever_it_says(self, declared: dict[str, str]) -> None:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 8

        answer = World(max_bytes=10).post(endless(), **declared)

        assert_problem(answer, 413, "content_too_large")
        assert answer.headers["connection"] == "close"

    def test_too_slow(self) -> None:
        async def drip() -> AsyncIterator[bytes]:
            while True:
                yield b"x"
                await asyncio.sleep(0.02)

        assert_problem(World(request_seconds=0.1).post(drip()), 408, "too_slow")

    def test_a_sender_that_goes_away(self) -> None:
        world = World()
        messages: list[Any] = [{"type": "http.request", "body": b"te", "more_body": True}, {"type": "http.disconnect"}]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/documents", "headers": [], "query_string": b"", "root_path": ""}
        asyncio.run(world.app(scope, receive, send))

        assert sent[0]["status"] == 400
        assert world.sender.sent == []

    @pytest.mark.parametrize(
        "headers",
        [
            {"provider_id": "a b"},
            {"provider_id": "x" * 129},
            {"idempotency_key": "k" * 256},
            {"idempotency_key": "a\tb"},
            {"patient_key": "MRN-12345"},
            {"content_type": "x" * 201},
            {"content_length": "4", "transfer_encoding": "chunked"},
        ],
    )
    def test_headers_out_of_form(self, headers: dict[str, str]) -> None:
        world = World()

        assert_problem(world.post(**headers), 400, "invalid_header")
        assert world.sender.sent == []

    def test_a_header_given_twice(self) -> None:
        answer = asyncio.run(World().ask("POST", "/v1/documents", content=b"x", headers=[("provider-id", "a"), ("provider-id", "b")]))

        assert_problem(answer, 400, "invalid_header")

    @pytest.mark.parametrize(
        "headers",
        [
            {"content_encoding": "gzip"},
            {"content_type": "multipart/form-data; boundary=x"},
            {"content_type": "application/cloudevents+json"},
        ],
    )
    def test_wrappings(self, headers: dict[str, str]) -> None:
        assert World().post(**headers).status_code == 415

    def test_a_provider_that_is_not_configured(self) -> None:
        assert_problem(World(is_known=lambda provider_id: provider_id == "lab-1").post(provider_id="lab-2"), 403, "unknown_provider")

    def test_problems_never_quote_the_request(self) -> None:
        answers = [World().post(b"CANARY", **{name: "CANARY\tCANARY"}) for name in ("provider_id", "idempotency_key", "patient_key")]

        assert [answer.status_code for answer in answers] == [400, 400, 400]
        assert all("CANARY" not in answer.text for answer in answers)


class TestStatus:
    ID = "7b0c2a3e-6f1b-5a50-8d53-0e9c3c0a1b33"

    def test_pending_until_something_is_known(self) -> None:
        answer = World().get(f"/v1/documents/{self.ID}")

        assert (answer.status_code, answer.json()) == (200, {"id": self.ID, "state": "pending", "outcomes": []})
        assert answer.headers["cache-control"] == "no-store"

    def test_what_is_known(self) -> None:
        world = World()
        world.status.answer = DocumentStatus("done", [{"stage": "ingest", "status": "rejected", "reason": "unknown_format"}])

        assert world.get(f"/v1/documents/{self.ID.upper()}").json()["outcomes"][0]["reason"] == "unknown_format"
        assert world.status.asked == [self.ID]

    @pytest.mark.parametrize("id", ["nonsense", "1", "..%2e", "'%20OR%201=1"])
    def test_what_is_no_id_is_not_found(self, id: str) -> None:
        world = World()

        assert_problem(world.get(f"/v1/documents/{id}"), 404, "not_found")
        assert world.status.asked == []

    def test_an_outage(self) -> None:
        world = World()
        world.status.answer = Unavailable("postgres", "down")

        assert_problem(world.get(f"/v1/documents/{self.ID}"), 503, "unavailable")
