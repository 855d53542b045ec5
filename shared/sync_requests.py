"""A wish to sync again, as it travels on `sync.requested.v1`: a patient, a document or a filter. Ingest carries it out."""

import msgspec

from shared.events import Event, EventType, new_event


class SyncRequest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """What to send again. Empty fields do not narrow; at least one must be there."""

    patient_key: str | None = None
    document_id: str | None = None
    provider_id: str | None = None
    reason: str | None = None  # only what ended at the normalizer for this reason
    since: str | None = None  # RFC 3339, received at or after
    until: str | None = None  # RFC 3339, received before


_DECODER = msgspec.json.Decoder(SyncRequest)


def sync_event(request: SyncRequest) -> Event:
    """The event of a request. Its id becomes the replay's id."""
    return new_event(EventType.SYNC_REQUESTED, msgspec.json.encode(request), subject=request.patient_key, contenttype="application/json")


def read_request(value: bytes | None) -> SyncRequest:
    """The request in a record's value. Raises ValueError without its content when it is none, or asks for everything."""
    try:
        request = _DECODER.decode(value or b"")
    except (msgspec.MsgspecError, RecursionError):
        raise ValueError("$") from None
    if request == SyncRequest():
        raise ValueError("nothing is asked for")
    return request
