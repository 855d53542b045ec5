"""The writer's HTTP routes: reviews, parked patients, limits of each destination. On this machine only; ids and codes, no names."""

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_args

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.carepatron_writer.parking import list_parked, release
from services.carepatron_writer.platforms.port import Platform
from services.carepatron_writer.reviews import Choice, NotPossible, Review, Reviews, Sender
from shared.errors import Unavailable
from shared.logs import get_logger
from shared.metrics import HTTP_REQUESTS
from shared.outcomes import Stage
from shared.problems import PRIVATE, RETRY_AFTER_SECONDS, Problem

LIST_PATH = "/v1/reviews"
REVIEW_PATH = "/v1/reviews/{destination}/{patient}"
DECISION_PATH = REVIEW_PATH + "/decision"
LIMITS_PATH = "/v1/limits"
PARKED_PATH = "/v1/parked"
RELEASE_PATH = "/v1/parked/{destination}/{patient}/release"
STATES = ("open", "moving", "link", "create", "leave")
STATUS_OF = {"no_review": 404, "not_parked": 404, "changed_meanwhile": 409}
MAX_BODY = 4096
PERSON = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
CLIENT = re.compile(r"[A-Za-z0-9._:/-]{1,200}")

logger = get_logger(__name__)


def writer_routes(reviews: Reviews, platforms: Mapping[str, Platform], pool: Any, sender: Sender) -> list[Route]:
    """Reviews and their decisions, parked patients and their release, limits."""

    async def list_reviews(request: Request) -> Any:
        state = request.query_params.get("state")
        if state is not None and state not in STATES:
            raise Problem(400, "invalid_query", f"state is one of {', '.join(STATES)}.")
        patient = request.query_params.get("patient")
        found = await reviews.list(
            state=state, patient_key=_uuid(patient) if patient else None, destination_id=request.query_params.get("destination")
        )
        return {"items": [one.as_dict() for one in found]}

    async def show_review(request: Request) -> Any:
        return (await _review(request)).as_dict()

    async def decide(request: Request) -> Any:
        body = await _body(request)
        choice: Choice | None = next((one for one in get_args(Choice) if one == body.get("decision")), None)
        client, person = body.get("external_id"), body.get("decided_by")
        if choice is None:
            raise Problem(422, "invalid_decision", "decision is link, create or leave.")
        if not isinstance(person, str) or not PERSON.fullmatch(person.strip()):
            raise Problem(422, "invalid_decision", "decided_by names the person who decides.")
        if client is not None and not (isinstance(client, str) and CLIENT.fullmatch(client)):
            raise Problem(422, "invalid_decision", "external_id is the id of a candidate.")
        review = await _review(request)
        return (await reviews.decide(review.destination_id, review.patient_key, choice, client, person.strip())).as_dict()

    async def limits(_: Request) -> Any:
        return {"items": [{"destination_id": key, **one.limits()} for key, one in platforms.items()]}

    async def list_waiting(_: Request) -> Any:
        return {"items": await list_parked(pool)}

    async def release_one(request: Request) -> Any:
        destination, patient = request.path_params["destination"], _uuid(request.path_params["patient"])
        await release(pool, sender, destination, patient)
        return {"destination_id": destination, "patient_key": patient, "state": "released"}

    async def _review(request: Request) -> Review:
        found = await reviews.get(request.path_params["destination"], _uuid(request.path_params["patient"]))
        if found is None:
            raise Problem(404, "no_review", "There is no question about this patient there.")
        return found

    routes: list[tuple[str, Callable[[Request], Awaitable[Any]], str]] = [
        (LIST_PATH, list_reviews, "GET"),
        (REVIEW_PATH, show_review, "GET"),
        (DECISION_PATH, decide, "POST"),
        (LIMITS_PATH, limits, "GET"),
        (PARKED_PATH, list_waiting, "GET"),
        (RELEASE_PATH, release_one, "POST"),
    ]
    return [Route(path, _answered(path, work), methods=[method]) for path, work, method in routes]


def _answered(path: str, work: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    """JSON, or problem details; every answer is counted."""

    async def answer(request: Request) -> Response:
        try:
            response = Response(orjson.dumps(await work(request)), 200, PRIVATE, "application/json")
        except Problem as problem:
            response = problem.response()
        except NotPossible as refusal:
            response = Problem(STATUS_OF.get(refusal.code, 422), refusal.code, str(refusal)).response()
        except Unavailable as outage:
            logger.warning("request_put_off", route=path, http_status=503, target=outage.target, why=outage.why)
            retry = {"retry-after": str(RETRY_AFTER_SECONDS)}
            response = Problem(503, "unavailable", "It was not done. Ask again later.", headers=retry).response()
        HTTP_REQUESTS.labels(Stage.WRITER, path, str(response.status_code)).inc()
        return response

    return answer


async def _body(request: Request) -> dict[str, Any]:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY:
            raise Problem(413, "content_too_large", "A decision is a small JSON object.")
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Problem(400, "malformed_json", "The body is no JSON.") from None
    if not isinstance(body, dict):
        raise Problem(400, "malformed_json", "The body is a JSON object.")
    return body


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise Problem(404, "no_review", "There is no question about this patient there.") from None
