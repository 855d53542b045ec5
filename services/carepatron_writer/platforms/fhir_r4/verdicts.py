"""What a stored document means for an upload: servers do not know the versions of our sources, so the order is ours to keep. Pure."""

from enum import StrEnum

from services.carepatron_writer.platforms.fhir_r4.documents import is_same_as
from services.carepatron_writer.platforms.fhir_r4.heads import Head
from services.carepatron_writer.platforms.fhir_r4.resources import master_of
from services.carepatron_writer.platforms.port import Upload


class Verdict(StrEnum):
    """What to do."""

    CREATE = "create"  # it is not there
    CHANGE = "change"  # an older version is there, or it stands at another patient
    UNCHANGED = "unchanged"  # exactly this is there
    STALE = "stale"  # a newer version is there
    CONFLICT = "conflict"  # something else is there under this version
    UNREADABLE = "unreadable"  # it is ours, and the server did not keep which version it is


def verdict_on(head: Head | None, upload: Upload, patient: str) -> Verdict:
    """Compare the version first, then the digests. A lower version never overwrites a higher one."""
    if head is None:
        return Verdict.CREATE
    if not head.version:  # our extension is gone: masterIdentifier can still say that it is this very version
        is_this = head.master == master_of(upload.document_id, upload.version) and not head.is_withdrawn
        return Verdict.UNCHANGED if is_this and head.patient == patient else Verdict.UNREADABLE
    if upload.version < head.version:
        return Verdict.STALE
    if upload.version > head.version or head.patient != patient:
        return Verdict.CHANGE
    return Verdict.UNCHANGED if is_same_as(head, upload) and not head.is_withdrawn else Verdict.CONFLICT
