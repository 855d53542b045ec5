"""The HTTP door: a document in, 202 only after the broker has acknowledged it; and the status of what was sent."""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.ingest.core import is_blank, named_patient
from services.ingest.publishing import Publisher
from services.ingest.settings import Settings
from services.ingest.sources.bodies import Bodies
from services.ingest.status import StatusSource
from shared.content_store import digest_of
from shared.errors import Unavailable
from shared.events import EventType, new_event
from shared.identity import NAMESPACE
from shared.logs import get_logger
from shared.metrics import HTTP_REQUESTS
from shared.outcomes import Stage
from shared.problems import PRIVATE, RETRY_AFTER_SECONDS, Problem, unavailable

SUBMIT_PATH = "/v1/documents"
STATUS_PATH = "/v1/documents/{id}"
PROVIDER_ID = re.compile(r"[!-~]{1,128}")
IDEMPOTENCY_KEY = re.compile(r"[ -~]{1,255}")
TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C trace context, 3.2
MEDIA_TYPE = re.compile(r"[!-~ ]{1,200}")
ENVELOPES = ("application/cloudevents", "multipart/", "application/x-www-form-urlencoded")

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """What the routes need; `app.py` supplies adapters, tests supply fakes."""

    publisher: Publisher
    status: StatusSource
    is_known_provider: Callable[[str], bool]

    @property
    def settings(self) -> Settings:
        """The bounds."""
        return self.publisher.settings


def document_routes(door: Door) -> list[Route]:
    """`POST /v1/documents` and `GET /v1/documents/{id}`."""
    bodies = Bodies(door.settings)

    async def post_document(request: Request) -> Response:
        return await _answered(SUBMIT_PATH, _submit(request, door, bodies))

    async def get_document(request: Request) -> Response:
        return await _answered(STATUS_PATH, _show(request, door))

    return [Route(SUBMIT_PATH, post_document, methods=["POST"]), Route(STATUS_PATH, get_document, methods=["GET"])]


async def _answered(route: str, answer: Awaitable[Response]) -> Response:
    """Problems and outages as problem details; every answer is counted, every refusal is one line."""
    try:
        response = await answer
    except Problem as problem:
        logger.info("request_refused", route=route, http_status=problem.status, reason=problem.code)
        response = problem.response()
    except Unavailable as outage:
        logger.warning("request_put_off", route=route, http_status=503, target=outage.target, why=outage.why)
        response = unavailable(RETRY_AFTER_SECONDS).response()
    HTTP_REQUESTS.labels(Stage.INGEST, route, str(response.status_code)).inc()
    return response


async def _submit(request: Request, door: Door, bodies: Bodies) -> Response:
    """Take one document: nothing is kept here, the broker has it or the sender still does."""
    headers = request.headers
    settings = door.settings
    provider_id = _header(request, "provider-id", PROVIDER_ID) or settings.default_provider_id
    if not door.is_known_provider(provider_id):
        raise Problem(403, "unknown_provider", "This provider is not configured here.")
    resend_key = _header(request, "idempotency-key", IDEMPOTENCY_KEY)
    patient = headers.get("patient-key")
    if patient is not None and named_patient(patient) is None:
        raise Problem(400, "invalid_header", "Patient-Key takes a patient key: a UUID.")
    media_type = _header(request, "content-type", MEDIA_TYPE)
    if media_type and media_type.lower().startswith(ENVELOPES):
        raise Problem(415, "unsupported_media_type", "Send the document itself as the body, without any envelope.")
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Problem(415, "unsupported_encoding", "Send the document uncompressed.")
    trace = headers.get("traceparent", "")
    async with bodies.read(request) as content:
        if is_blank(content):
            raise Problem(400, "empty_content", "The body is empty.")
        sha256 = await digest_of(content)
        event = new_event(
            EventType.DOCUMENT_PUBLISHED,
            content,
            id=_event_id(provider_id, resend_key, sha256),
            sha256=sha256,
            source="urn:healthrecords:http",
            providerid=provider_id,
            subject=named_patient(patient),
            contenttype=media_type,
            traceparent=trace if TRACE_PARENT.fullmatch(trace) else None,
        )
        try:
            async with asyncio.timeout(settings.publish_seconds):
                key, event = await door.publisher.prepare(event)
                await door.publisher.send(key, event)
        except TimeoutError:
            raise unavailable(RETRY_AFTER_SECONDS) from None
    location = f"{SUBMIT_PATH}/{event.id}"
    return _json(202, {"id": event.id, "status_url": location}, {"location": location})


async def _show(request: Request, door: Door) -> Response:
    try:
        id = str(uuid.UUID(request.path_params["id"]))
    except ValueError:
        raise Problem(404, "not_found", "There is no such document.") from None
    status = await door.status.fetch(id)
    return _json(200, {"id": id, "state": status.state, "outcomes": status.outcomes}, {})


def _event_id(provider_id: str, resend_key: str | None, sha256: str) -> str:
    """Fresh, or the same again for a resend. The digest is part of it: a key used for another document never mixes the two up."""
    return str(uuid.uuid4() if resend_key is None else uuid.uuid5(NAMESPACE, f"http|{provider_id}|{resend_key}|{sha256}"))


def _header(request: Request, name: str, form: re.Pattern[str]) -> str | None:
    """A header's value in the form that is allowed; None when it is absent or empty."""
    values = [one for one in request.headers.getlist(name) if one]
    if not values:
        return None
    if len(values) > 1 or not form.fullmatch(values[0]):
        raise Problem(400, "invalid_header", f"The header {name} is not in its form.")
    return values[0]


def _json(status: int, body: object, headers: dict[str, str]) -> Response:
    return Response(orjson.dumps(body), status, {**PRIVATE, **headers}, "application/json")
