"""Source formats as far as two services need them: recognising, splitting, and a light look at who and what."""

from typing import NamedTuple


class LightLook(NamedTuple):
    """What a cheap look at one message or document tells; each None when it is not said."""

    patient_key: str | None = None
    document_id: str | None = None  # of the first document
    control_id: str | None = None  # the sender's number of the message
    source_version: str | None = None
