"""The Kafka edge of resyncs: one request in, what it stands for out to `document.replayed.v1`, one outcome."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from services.ingest.replay import ReplayReport, Selection
from shared.delivery.records import Handler, Record
from shared.events import EventType, read_event
from shared.logs import get_logger
from shared.outcomes import Action, Done, Facts, Outcomes, Reason, Rejected, Status
from shared.sync_requests import SyncRequest, read_request

Replay = Callable[[Selection, str], Awaitable[ReplayReport]]

logger = get_logger(__name__)


def execute_requests(replay: Replay) -> Handler:
    """Handle one request; the request's id is the replay's, so that a repetition sends the same events under the same ids."""

    async def on_sync_requested(record: Record) -> Outcomes:
        event = read_event(record.headers, record.value, default_type=EventType.SYNC_REQUESTED, fallback_id=record.place)
        try:
            request = read_request(event.data)
            selection = selection_of(request)
        except ValueError:
            return [Rejected(Reason.MALFORMED_ENVELOPE, "$", Facts(action=Action.SYNC))]
        report = await replay(selection, event.id)
        logger.info("sync_executed", replay_id=report.replay_id, records=report.records, gone=len(report.gone))
        facts = Facts(
            action=Action.SYNC,
            patient_key=request.patient_key,
            document_id=request.document_id,
            provider_id=request.provider_id,
            warnings=("bytes_expired",) if report.gone else (),
        )
        return [Done(Status.REQUESTED, facts)]

    return on_sync_requested


def selection_of(request: SyncRequest) -> Selection:
    """What a request stands for. Raises ValueError for a time that is none."""
    return Selection(
        provider=request.provider_id,
        patient=request.patient_key,
        document=request.document_id,
        reason=request.reason,
        since_ms=_milliseconds(request.since),
        until_ms=_milliseconds(request.until),
    )


def _milliseconds(text: str | None) -> int | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return int(moment.timestamp() * 1000)
