"""API and pages over a real database: stable pages, hostile input, inert output."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from openapi_spec_validator import validate

from services.audit.api.application import make_application
from services.audit.bookkeeping import Books, Missing
from services.audit.books_keeper import BooksKeeper
from services.audit.positions import Step
from services.audit.sync_log import record_outcomes
from shared import topics
from shared.errors import Unavailable
from shared.outcomes import Reason
from shared.postgres import open_pool
from tests.integration.audit.conftest import made_outcome, outcome_record

NOW = datetime.now(UTC).replace(microsecond=0)
DOCUMENT = "0b0e7c1e-6a64-5f43-8f44-2f3f6c0a8b11"
HOSTILE = "<script>alert('x')</script>"
BOOKS = Books(NOW, (), (Missing(topics.RECEIVED.name, 1, 2, "normalizer", "no_outcome", None, "c", HOSTILE),))
Visit = Callable[["Visitor"], Awaitable[None]]
serial = itertools.count()


class Visitor:
    """A client of the application, and a hand that adds rows."""

    def __init__(self, client: httpx.AsyncClient, pool: Any) -> None:
        self.client = client
        self.pool = pool

    async def get(self, path: str, answers: int = 200, /, **params: Any) -> Any:
        """The JSON of an answer."""
        answer = await self.client.get(path, params=params)
        assert answer.status_code == answers, answer.text
        return answer.json()

    async def page(self, path: str, answers: int = 200, /, **params: Any) -> str:
        """The HTML of an answer."""
        answer = await self.client.get(path, params=params)
        assert answer.status_code == answers, answer.text
        assert "script-src" not in answer.headers["content-security-policy"]
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        return answer.text

    async def add(
        self, count: int, *, minutes: Callable[[int], float] = lambda number: number, topic: str = topics.PUBLISHED.name, **facts: Any
    ) -> None:
        """Add rows; `minutes` says how old each is."""
        given = {"status": "rejected", "reason": "malformed_xml", "provider_id": "north", **facts}
        status = given.pop("status")
        made = [
            made_outcome(topic, 0, next(serial), status, **{**given, "timestamp": (NOW - timedelta(minutes=minutes(number))).isoformat()})
            for number in range(count)
        ]
        records = [outcome_record(one, number) for number, one in enumerate(made)]
        await record_outcomes(self.pool, Step(str(uuid4()), topics.OUTCOMES.name, 0, None, count), records)


def visit(url: str, story: Visit) -> None:
    """Run a story against the application."""

    async def run() -> None:
        async def check() -> Books:
            return BOOKS

        pool = await open_pool(url, application_name="test-audit")
        keeper = BooksKeeper(check, interval_seconds=60)
        await keeper.check()
        transport = httpx.ASGITransport(make_application(pool, keeper))
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://audit") as client:
                await story(Visitor(client, pool))
        finally:
            await pool.close()

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(3))
def test_pages_neither_repeat_nor_skip_a_row_while_others_are_added(audit_url: str, seed: int) -> None:
    async def story(visitor: Visitor) -> None:
        rng = random.Random(seed)
        await visitor.add(130, minutes=lambda number: number // 7)  # many share a moment
        before = {row["id"] for row in (await visitor.get("/api/v1/sync-logs", limit=200))["items"]}
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            found = await visitor.get("/api/v1/sync-logs", limit=rng.choice([1, 7, 20]), **cursor)
            seen += [row["id"] for row in found["items"]]
            if found["next_cursor"] is None:
                break
            cursor = {"cursor": found["next_cursor"]}
            await visitor.add(rng.randint(0, 4), minutes=lambda _: rng.uniform(-5, 30))

        assert len(seen) == len(set(seen))
        assert before <= set(seen)

    visit(audit_url, story)


def test_filters_find_what_they_say(audit_url: str) -> None:
    async def story(visitor: Visitor) -> None:
        await visitor.add(3)
        await visitor.add(
            2,
            status="received",
            reason=None,
            document_id=DOCUMENT,
            patient_key=DOCUMENT,
            correlation_id="c",
            replay_id="r",
            passed_on=("t/1/2",),
        )
        await visitor.add(1, provider_id="south", minutes=lambda _: 600)

        expected = {
            (("provider", "south"),): 1,
            (("status", "rejected"),): 4,
            (("reason", "malformed_xml"), ("provider", "north")): 3,
            (("document", DOCUMENT),): 2,
            (("patient", DOCUMENT),): 2,
            (("correlation", "c"), ("replay", "r")): 2,
            (("terminal", "false"),): 2,
            (("stage", "ingest"),): 6,
            (("stage", "normalizer"),): 0,
            (("until", (NOW - timedelta(minutes=300)).isoformat()),): 1,
            (("since", (NOW - timedelta(minutes=300)).isoformat()),): 5,
        }
        for params, count in expected.items():
            assert len((await visitor.get("/api/v1/sync-logs", **dict(params)))["items"]) == count, params
        row = (await visitor.get("/api/v1/sync-logs", document=DOCUMENT, limit=1))["items"][0]
        assert row["details"]["passed_on"] == ["t/1/2"]

    visit(audit_url, story)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patient", "' OR 1=1 --"),
        ("document", "../../etc/passwd"),
        ("provider", "a\x00b"),
        ("provider", "x" * 5000),
        ("status", "'; DROP TABLE synchronization_log; --"),
        ("since", "1e999"),
        ("until", "9999-12-31T23:59:59-14:00"),
        ("cursor", "AAAA"),
        ("cursor", "%00" * 20),
        ("limit", "201"),
        ("limit", "-1"),
        ("terminal", "perhaps"),
        (HOSTILE, "1"),
    ],
)
def test_bad_input_is_a_problem_that_repeats_nothing(audit_url: str, name: str, value: str) -> None:
    async def story(visitor: Visitor) -> None:
        answer = await visitor.client.get("/api/v1/sync-logs", params={name: value})

        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
        assert answer.json()["errors"][0]["field"] == (name if name != HOSTILE else "unknown parameter")
        assert HOSTILE not in answer.text
        assert value not in answer.json().values()

    visit(audit_url, story)


def test_hostile_text_is_searched_for_and_nothing_else(audit_url: str) -> None:
    async def story(visitor: Visitor) -> None:
        await visitor.add(1)
        for text in ("' OR ''='", "%", "\\", "north'--", "{{7*7}}", HOSTILE):
            assert (await visitor.get("/api/v1/sync-logs", provider=text))["items"] == []
            assert (await visitor.get("/api/v1/sync-logs", correlation=text))["items"] == []

    visit(audit_url, story)


def test_pages_show_hostile_text_inert(audit_url: str) -> None:
    async def story(visitor: Visitor) -> None:
        hostile: dict[str, Any] = dict.fromkeys(
            ["provider_id", "where", "document_type", "external_id", "platform", "correlation_id", "source_version"], HOSTILE
        )
        await visitor.add(1, **{**hostile, "document_id": DOCUMENT, "warnings": (HOSTILE,), "reason": "unheard_of"})

        for html in (
            await visitor.page("/"),
            await visitor.page("/", provider=HOSTILE),
            await visitor.page("/", 400, status=HOSTILE, nonsense=HOSTILE),
            await visitor.page(f"/documents/{DOCUMENT}"),
        ):
            assert "<script" not in html
            assert "&lt;script&gt;" in html
            assert "1 record is unaccounted for." in html

    visit(audit_url, story)


def test_the_page_says_who_should_do_what(audit_url: str) -> None:
    async def story(visitor: Visitor) -> None:
        await visitor.add(3, reason=str(Reason.POSSIBLE_DUPLICATE), topic=topics.NORMALIZED.name, action="write_document")
        await visitor.add(2, status="skipped", reason=str(Reason.NOT_RELEVANT))
        settled = str(uuid4())
        await visitor.add(1, reason=str(Reason.PLATFORM_QUOTA), document_id=settled, topic=topics.NORMALIZED.name, minutes=lambda _: 50)
        await visitor.add(1, status="created", reason=None, document_id=settled, topic=topics.NORMALIZED.name, minutes=lambda _: 10)

        html = (await visitor.page("/")).partition("What needs someone")[2].partition("The log")[0]

        assert "The platform has a client who may be this patient." in html
        assert "Decide with healthcare-records reviews; what waits comes in then." in html
        assert "for <b>the clinic</b>" in html
        assert "/?reason=possible_duplicate#log" in html
        assert "leave this document out" not in html
        assert "storage is full" not in html

    visit(audit_url, story)


def test_a_documents_timeline_is_told_from_its_beginning(audit_url: str) -> None:
    async def story(visitor: Visitor) -> None:
        await visitor.add(1, status="received", reason=None, correlation_id="c", passed_on=("t/1/2",), minutes=lambda _: 3)
        await visitor.add(
            1, status="normalized", reason=None, correlation_id="c", document_id=DOCUMENT, topic=topics.RECEIVED.name, minutes=lambda _: 2
        )
        await visitor.add(1, status="created", reason=None, correlation_id="c", document_id=DOCUMENT, topic=topics.NORMALIZED.name)

        told = await visitor.get(f"/api/v1/documents/{DOCUMENT}/timeline")

        assert [row["status"] for row in told["items"]] == ["received", "normalized", "created"]
        assert (await visitor.get(f"/api/v1/documents/{uuid4()}/timeline", 404))["code"] == "document_unknown"
        assert (await visitor.get("/api/v1/documents/1/timeline", 400))["code"] == "bad_request"
        assert "Nothing is known" in await visitor.page(f"/documents/{uuid4()}", 404)

    visit(audit_url, story)


def test_views_tell_the_state_of_documents_and_providers(audit_url: str) -> None:
    async def story(visitor: Visitor) -> None:
        await visitor.add(1, status="created", reason=None, document_id=DOCUMENT, topic=topics.NORMALIZED.name, minutes=lambda _: 5)
        await visitor.add(1, status="duplicate", reason=None, document_id=DOCUMENT)

        assert await visitor.pool.fetchval("SELECT status FROM document_status_v1") == "created"
        assert await visitor.pool.fetchval("SELECT duplicates FROM provider_health_v1 WHERE provider = 'north'") == 1
        assert await visitor.pool.fetchval("SELECT details->>'topic' FROM sync_log_v1 LIMIT 1") is not None
        assert await visitor.pool.fetchval("SELECT count(*) FROM patient_status_v1") == 0

    visit(audit_url, story)


def test_the_api_describes_itself_exactly(audit_url: str) -> None:
    async def story(visitor: Visitor) -> None:
        description = await visitor.get("/api/v1/openapi.json")

        validate(description)
        listed = description["paths"]["/api/v1/sync-logs"]["get"]
        assert {"200", "400", "503"} == set(listed["responses"])
        assert {"limit", "cursor", "patient", "terminal"} <= {one["name"] for one in listed["parameters"]}
        assert {"/api/v1/sync-logs", "/api/v1/documents/{document_id}/timeline"} == set(description["paths"])

    visit(audit_url, story)


class _Away:
    """A pool whose database is away."""

    async def fetch(self, *_: object) -> None:
        raise Unavailable("postgres")

    def acquire(self) -> None:
        raise Unavailable("postgres")


def test_an_outage_is_a_503_on_page_and_api() -> None:
    async def story() -> None:
        async def check() -> Books:
            raise Unavailable("kafka")

        keeper = BooksKeeper(check, interval_seconds=60)
        await keeper.check()
        transport = httpx.ASGITransport(make_application(_Away(), keeper))
        async with httpx.AsyncClient(transport=transport, base_url="http://audit") as client:
            api, page, document = [await client.get(one) for one in ("/api/v1/sync-logs", "/", f"/documents/{DOCUMENT}")]

        assert [api.status_code, page.status_code, document.status_code] == [503, 503, 503]
        assert (api.headers["content-type"], api.headers["retry-after"]) == ("application/problem+json", "5")
        assert "The books are being checked." in page.text

    asyncio.run(story())
