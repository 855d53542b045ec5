"""The port over any FHIR R4 server: what a server can do is read from its /metadata, everything else is the same for all of them."""

from typing import Any

from services.carepatron_writer.platforms.fhir_r4.account import Account
from services.carepatron_writer.platforms.fhir_r4.credentials import SmartBackend
from services.carepatron_writer.platforms.fhir_r4.documents import Documents
from services.carepatron_writer.platforms.fhir_r4.features import drifts
from services.carepatron_writer.platforms.fhir_r4.patients import Patients
from services.carepatron_writer.platforms.fhir_r4.submissions import Submissions
from services.carepatron_writer.platforms.http import Credentials
from services.carepatron_writer.platforms.matching import SYSTEM
from services.carepatron_writer.platforms.port import Answer, Capabilities, Card, Drift, ReadBack, Rejected, StoredDocument, Upload
from shared.outcomes import Reason


class FhirR4:
    """One account. Keeps the promises of `platforms.port.Platform`."""

    name = "fhir_r4"

    def __init__(self, account: Account, credentials: Credentials) -> None:
        self._account = account
        self._credentials = credentials
        self._profile = account.profile
        self._client = account.wire.client
        self._patients = Patients(account)
        self._documents = Documents(account)
        self._submissions = Submissions(account, self._patients, self._documents)

    def capabilities(self) -> Capabilities:
        """As the profile says."""
        return self._profile.capabilities

    def limits(self) -> dict[str, Any]:
        """Windows, and what is used of them."""
        return self._client.limits.state(self._profile.content.upload)

    async def admit(self) -> None:
        """Whether there is room for a write soon."""
        self._client.limits.check("create_document")

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()
        if isinstance(self._credentials, SmartBackend):
            await self._credentials.aclose()

    async def probe(self) -> tuple[Drift, ...]:
        """GET /metadata: what the adapter needs and the server does not claim; a search, which needs a login; scopes not granted."""
        statement = await self._account.wire.statement()
        if statement is None:
            return (Drift("operations.capabilities", "200 with a CapabilityStatement", "something else"),)
        reply = await self._client.call("find_patients", params={"identifier": f"{SYSTEM}|probe"})
        found = reply.meaning is None and reply.body.get("resourceType") == "Bundle"
        login = () if found else (Drift("operations.find_patients", "200 with a Bundle", str(reply.said.status)),)
        smart = self._credentials if isinstance(self._credentials, SmartBackend) else None
        return (*drifts(statement, smart.granted if smart else None, smart.scope.split() if smart else ()), *login)

    async def find_patient(self, patient_key: str) -> str | None:
        """By our identifier; a Patient.link to a replacement is followed."""
        return await self._patients.find(patient_key)

    async def upsert_patient(self, card: Card, external_id: str | None, *, is_new: bool = False) -> Answer:
        """GET, then PUT with If-Match; search, then POST under the server's guard."""
        return await self._patients.upsert(card, external_id, is_new=is_new)

    async def detach_patient(self, external_id: str, patient_key: str) -> Answer:
        """PUT without our identifier and what came from this record."""
        return await self._patients.detach(external_id, patient_key)

    async def find_document(self, patient_external_id: str, document_id: str, compared_with: Upload | None) -> StoredDocument | None:
        """Search by identifier."""
        return await self._documents.find(patient_external_id, document_id, compared_with)

    async def put_document(self, patient_external_id: str, upload: Upload) -> Answer:
        """Search, compare versions, then create or PUT with If-Match."""
        if upload.media_type not in self._profile.content.media_types:
            return Rejected(Reason.UNSUPPORTED_MEDIA_TYPE, "content")
        if len(upload.content) > self._profile.content.max_bytes:
            return Rejected(Reason.CONTENT_TOO_LARGE, "content")
        return await self._submissions.put(patient_external_id, upload)

    async def withdraw_document(self, patient_external_id: str, document_id: str, version: str) -> Answer:
        """PUT with status entered-in-error."""
        return await self._submissions.withdraw(patient_external_id, document_id, version)

    async def read_back(self, patient_external_id: str, document_id: str) -> ReadBack | None:
        """GET the reference and the bytes behind it."""
        return await self._documents.read_back(patient_external_id, document_id)

    async def list_documents(self, patient_external_id: str) -> list[StoredDocument]:
        """Search by subject; those of others are left out."""
        return await self._documents.listed(patient_external_id)
