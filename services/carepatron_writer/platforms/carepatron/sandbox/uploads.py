"""A document as it is sent: metadata and bytes that belong together, and room for them."""

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.checks import DOCUMENT_FIELDS, check_document
from services.carepatron_writer.platforms.carepatron.sandbox.door import Door
from services.carepatron_writer.platforms.carepatron.sandbox.parsing import read_form
from services.carepatron_writer.platforms.carepatron.sandbox.problems import problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Contact, Document, Records, digest_of
from services.carepatron_writer.platforms.carepatron.sandbox.refusals import read_or_refuse
from services.carepatron_writer.platforms.profile import Content
from shared.identity import digest

THREAD_BYTES = 1 << 20  # digests of more than this are computed beside the event loop


@dataclass(frozen=True, slots=True)
class Upload:
    """A version on offer."""

    metadata: dict[str, Any]
    digest: str  # of the metadata, which names the digest of the content
    content: bytes

    @property
    def version(self) -> str:
        """As the sender counts."""
        return str(self.metadata["sourceVersion"])


class Uploads:
    """Reads uploads, and keeps them."""

    def __init__(self, records: Records, door: Door, content: Content) -> None:
        self._records = records
        self._door = door
        self._content = content

    async def read(self, request: Request, external_id: str | None = None) -> Upload | Response:
        """The form of a request, or why it is refused; `external_id` is the one in the path."""
        form = await read_or_refuse(read_form(request, self._content.max_bytes), "multipart/form-data")
        if isinstance(form, Response):
            return form
        metadata, content = {name: form[0][name] for name in DOCUMENT_FIELDS if name in form[0]}, form[1]
        kind = metadata.get("contentType")
        if isinstance(kind, str) and kind not in self._content.media_types:
            return problem("unsupported-media-type", errors=[("/contentType", "is not taken")])
        sha256 = digest(content) if len(content) <= THREAD_BYTES else await asyncio.to_thread(digest, content)
        errors = check_document(metadata, external_id, sha256, len(content), self._content.media_types)
        if errors:
            return problem("invalid-request", status=422, errors=errors)
        return Upload(metadata, digest_of(metadata), content)

    def refuse(self, contact: Contact, document: Document | None, upload: Upload) -> Response | None:
        """Why there is no room, or no way, for an upload now; asked after its body has come."""
        if contact.status != "active":  # meanwhile
            return (
                problem("contact-archived") if contact.status == "archived" else problem("contact-merged", mergedInto=contact.merged_into)
            )
        if document is not None and (locked := self._door.locked(document)) is not None:
            return locked
        quota = self._door.switches.quota_bytes
        if quota is not None and self._records.used_bytes[contact.account] + len(upload.content) > quota:
            return problem("storage-quota-exceeded")
        return None

    def keep(self, contact: Contact, document_id: str, upload: Upload, **more: Any) -> None:
        """Make it the version on top. Raises Full."""
        self._records.record(
            {
                "kind": "document",
                "contact": contact.id,
                "id": document_id,
                "metadata": upload.metadata,
                "digest": upload.digest,
                "position": self._records.journal.keep(upload.content),
                "at": self._door.clock.text(),
                **more,
            }
        )
