"""One write of a document, in the form that the server takes: inline, with its Binary in one transaction, or one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from services.carepatron_writer.platforms.fhir_r4.account import Account
from services.carepatron_writer.platforms.fhir_r4.bundles import (
    BUNDLE_PROFILE,
    DOCUMENT_PROFILE,
    SIMPLIFIED_PROFILE,
    Transaction,
    add_binary,
    profiled,
    submission_set,
    urn_of,
)
from services.carepatron_writer.platforms.fhir_r4.elements import Json
from services.carepatron_writer.platforms.fhir_r4.features import Features
from services.carepatron_writer.platforms.fhir_r4.heads import DOCUMENT_SYSTEM, MASTER_SYSTEM, Head
from services.carepatron_writer.platforms.fhir_r4.resources import (
    Making,
    binary_id,
    document_reference,
    master_of,
    media_type_of,
    superseded,
)
from services.carepatron_writer.platforms.fhir_r4.validation import fault_in
from services.carepatron_writer.platforms.fhir_r4.wire import Kind, Resource, Result, TooLarge, Written
from services.carepatron_writer.platforms.port import Rejected, Upload
from shared.outcomes import Reason

MOST_BINARIES = 1_000
Guard = Literal["server", "identity", "nothing"]  # If-None-Exist; a PUT that names what it makes; our own look before
DOCUMENT: Kind = "DocumentReference"


class Form(StrEnum):
    """How content travels."""

    INLINE = "inline"
    TOGETHER = "together"  # Binary and DocumentReference in one transaction
    APART = "apart"  # Binary first


@dataclass
class Plan:
    """A write that was decided. `changed` is the head that it replaces; without one, something new is made."""

    upload: Upload
    making: Making
    changed: Head | None
    superseded: Sequence[Head]
    guard: Guard = "server"  # of what is made, as it was sent


class Sending:
    """One account's ways to write a document."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._wire = account.wire
        self._settings = account.settings
        self._binaries: dict[str, str] = {}  # written, with no reference to them yet: the next try uses them

    async def send(self, plan: Plan) -> Result:
        """Write; content that is too large in one form goes in the next."""
        features = await self._account.features()
        result: Result = TooLarge()
        for form in self._forms(plan, features):
            result = await self._send_as(form, plan, features)
            if not isinstance(result, TooLarge):
                break
        return result

    def _forms(self, plan: Plan, features: Features) -> list[Form]:
        match self._settings.submission:
            case "iti_65":
                return [Form.TOGETHER]
            case "iti_105":
                return [Form.INLINE]
        inline = [Form.INLINE] if len(plan.upload.content) <= self._settings.inline_max_bytes else []
        return [*inline, *([Form.TOGETHER] if features.has_transactions else []), Form.APART]

    async def _send_as(self, form: Form, plan: Plan, features: Features) -> Result:
        if form is Form.TOGETHER:
            return await self._send_together(plan, features)
        binary = None
        if form is Form.APART:
            written = await self._write_binary(plan.upload, features)
            if not isinstance(written, str):
                return written
            binary = written
        body = self._body(plan, binary)
        if (where := fault_in(body)) is not None:
            return Rejected(Reason.PLATFORM_REJECTED, where)
        result = await self._write_reference(plan, body, features)
        if isinstance(result, Written):
            self._binaries.pop(master_of(plan.upload.document_id, plan.upload.version), None)
        return result

    def _body(self, plan: Plan, binary: str | None) -> Json:
        making = replace(plan.making, binary=binary, has_doc_status=self._settings.submission == "rest")
        body = document_reference(plan.upload, making)
        match self._settings.submission:
            case "iti_105":  # its status is fixed; one that is superseded already is marked afterwards
                return profiled({**body, "status": "current"}, SIMPLIFIED_PROFILE)
            case "iti_65":
                return profiled(body, DOCUMENT_PROFILE)
        return body

    async def _write_reference(self, plan: Plan, body: Json, features: Features) -> Result:
        """Change by id and version; make under the server's guard, else at an id of our own, else after our own look only."""
        if plan.changed is not None:
            return await self._wire.replace("replace_document", plan.changed.id, plan.changed.etag, body, DOCUMENT)
        identity, able = self._identity(plan), features.documents
        if able.conditional_create:
            return await self._wire.create("create_document", body, DOCUMENT, if_none_exist=f"identifier={identity}")
        plan.guard = "identity"
        if able.conditional_update:
            return await self._wire.create_at("create_document_at_identity", {"identifier": identity}, body, DOCUMENT)
        if able.update_create:
            return await self._wire.replace("replace_document", self._own_id(plan), None, body, DOCUMENT)
        plan.guard = "nothing"
        return await self._wire.create("create_document", body, DOCUMENT)

    def _identity(self, plan: Plan) -> str:
        """Under which a document is made once: its own where versions change in place, else that of the version."""
        if self._is_in_place:
            return f"{DOCUMENT_SYSTEM}|{plan.upload.document_id}"
        return f"{MASTER_SYSTEM}|{master_of(plan.upload.document_id, plan.upload.version)}"

    def _own_id(self, plan: Plan) -> str:
        if self._is_in_place:
            return plan.upload.document_id
        return master_of(plan.upload.document_id, plan.upload.version).removeprefix("urn:uuid:")

    @property
    def _is_in_place(self) -> bool:
        return self._settings.supersede == "in_place" and self._settings.submission == "rest"

    async def _send_together(self, plan: Plan, features: Features) -> Result:
        """One transaction. ITI-65: SubmissionSet, DocumentReference, Binary, then what is superseded, in this order."""
        upload, transaction = plan.upload, Transaction()
        is_mhd = self._settings.submission == "iti_65"
        document = urn_of("document", upload.document_id, upload.version)
        binaries = Transaction()
        url = add_binary(binaries, upload, is_at_own_id=features.binaries.update_create and not is_mhd)
        body = self._body(plan, url)
        if (where := fault_in(body)) is not None:
            return Rejected(Reason.PLATFORM_REJECTED, where)
        if is_mhd:
            listed = submission_set(
                upload, plan.making.patient, document, created=plan.making.created, source_oid=self._settings.source_oid
            )
            transaction.add(listed, full_url=urn_of("list", upload.document_id, upload.version))
        if plan.changed is not None:
            transaction.put(body, plan.changed.id, etag=plan.changed.etag, full_url=document)
        else:
            guard = f"identifier={self._identity(plan)}" if features.documents.conditional_create else None
            plan.guard = "server" if guard else "nothing"
            transaction.add(body, full_url=document, if_none_exist=guard)
        place = len(transaction.entries) - 1
        transaction.entries += binaries.entries
        if is_mhd:
            await self._add_superseded(transaction, plan)
        answer = await self._wire.transact(transaction.as_json(profile=BUNDLE_PROFILE if is_mhd else None))
        return self._wire.entry_result(answer[place], DOCUMENT) if isinstance(answer, list) else answer

    async def _add_superseded(self, transaction: Transaction, plan: Plan) -> None:
        for one in plan.superseded:
            found = await self._wire.read("read_document", one.id)
            if isinstance(found, Resource) and found.body.get("status") == "current":
                transaction.put(superseded(found.body), one.id, etag=found.etag)

    async def _write_binary(self, upload: Upload, features: Features) -> str | Result:
        """The content alone; its address. One that an earlier try has written without its reference is used again."""
        key = master_of(upload.document_id, upload.version)
        if key not in self._binaries:
            found_id = binary_id(upload) if features.binaries.update_create else None
            result = await self._wire.send_binary(upload.content, media_type_of(upload), found_id)
            if not isinstance(result, Written):
                return result
            while len(self._binaries) >= MOST_BINARIES:
                del self._binaries[next(iter(self._binaries))]
            self._binaries[key] = f"Binary/{result.id}"
        return self._binaries[key]
