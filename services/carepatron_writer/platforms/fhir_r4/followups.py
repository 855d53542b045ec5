"""What a write leaves to do: earlier versions are marked as superseded, races of servers that do not guard creation are found out."""

from collections.abc import Iterable

from services.carepatron_writer.platforms.fhir_r4.account import ROUNDS, Account
from services.carepatron_writer.platforms.fhir_r4.documents import Documents
from services.carepatron_writer.platforms.fhir_r4.heads import head_of
from services.carepatron_writer.platforms.fhir_r4.resources import replaceable, superseded
from services.carepatron_writer.platforms.fhir_r4.wire import Raced, Resource, Written
from services.carepatron_writer.platforms.port import Answer, Parked, Stale, Upload
from shared.outcomes import Reason

NOT_SUPERSEDED = "earlier_not_superseded"  # a warning: the server did not let us mark an earlier document


class Followups:
    """Steps after a write of one account. Each repeats harmlessly: a crash in between is made good by the next try."""

    def __init__(self, account: Account, documents: Documents) -> None:
        self._account = account
        self._wire = account.wire
        self._documents = documents

    async def supersede(self, found_ids: Iterable[str]) -> tuple[str, ...]:
        """status = superseded, as servers may ignore relatesTo; warnings where a server does not take it."""
        are_done = [await self._supersede_one(one) for one in found_ids]
        return () if all(are_done) else (NOT_SUPERSEDED,)

    async def _supersede_one(self, found_id: str) -> bool:
        for turn in range(ROUNDS):
            await self._account.pause(turn)
            found = await self._wire.read("read_document", found_id)
            if not isinstance(found, Resource) or found.body.get("status") != "current":
                return True  # gone, or told already
            body = superseded(found.body)
            result = await self._wire.replace("replace_document", found_id, found.etag, body, "DocumentReference")
            if not isinstance(result, Raced):
                return isinstance(result, Written)
        raise self._account.changing("earlier document")

    async def look_again(self, found_id: str, upload: Upload, *, is_in_place: bool) -> Answer | None:
        """After a creation that no server guarded: somebody else may have made the same. None when nobody has."""
        others = [one for one in await self._documents.heads(upload.document_id) if one.id != found_id]
        if any(one.version == upload.version or (is_in_place and one.status == "current") for one in others):
            return Parked(Reason.POSSIBLE_DUPLICATE, "DocumentReference.identifier")
        if any(one.version > upload.version for one in others):
            await self._supersede_one(found_id)
            return Stale()
        return None

    async def restore_newer(self, found_id: str, upload: Upload) -> None:
        """A PUT that should have created has changed something instead: when that was newer, it comes back, from the server's history."""
        reply = await self._wire.client.call("document_history", {"id": found_id})
        entries = reply.body.get("entry") or () if reply.meaning is None else ()
        bodies = [one["resource"] for one in entries if isinstance(one, dict) and isinstance(one.get("resource"), dict)]
        known = [(head.version, body) for body in bodies if (head := head_of(body)) is not None]
        version, body = max(known, key=lambda one: one[0], default=("", {}))
        if version <= upload.version:
            return
        head = await self._documents.head(found_id)
        if head is not None and head.version < version:
            await self._wire.replace("replace_document", found_id, head.etag, replaceable(body), "DocumentReference")
