"""Fakes and builders for tests of the writer: a platform and a ledger in memory, a sandbox on a real socket."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from services.carepatron_writer.core import Decision, Link, Offer, State
from services.carepatron_writer.links import Claim, Known, Settled
from services.carepatron_writer.platforms.carepatron.adapter import Carepatron
from services.carepatron_writer.platforms.http import ApiKey, Limits, PlatformClient
from services.carepatron_writer.platforms.port import (
    Answer,
    Candidate,
    Capabilities,
    Card,
    Conflict,
    Created,
    Drift,
    OutcomeUnknown,
    Parked,
    ReadBack,
    Stale,
    StoredDocument,
    Unchanged,
    Updated,
    Upload,
)
from services.carepatron_writer.platforms.profile import Profile, load_profile
from services.carepatron_writer.rendering.rendered import Rendered, as_it_is, without_pdf
from shared.canonical.elements import Content, HumanName
from shared.canonical.models import DocumentType, HealthcareDocument, Patient
from shared.delivery.records import Record
from shared.errors import Unavailable
from shared.events import Event, EventType, write_headers
from shared.identity import digest
from shared.outcomes import Reason

KEY = "test-key"
PACKAGE = "services.carepatron_writer.platforms.carepatron"
VERSION = "oru:00000000000000000001:20261102T081500.000000Z:07:0001"
NEWER = "oru:00000000000000000002:20261103T081500.000000Z:07:0001"
OLDER = "oru:00000000000000000000:20261101T081500.000000Z:07:0001"


def a_key() -> str:
    """A fresh patient key or document id."""
    return str(uuid.uuid4())


def a_card(patient_key: str | None = None, **said: Any) -> Card:
    """A client card."""
    key = patient_key or a_key()
    plain: dict[str, Any] = {
        "patient_key": key,
        "first_name": "Test",
        "last_name": f"Marker-{key[:8]}",
        "email": None,
        "phone": None,
        "birth_date": "1970-10-03",
        "medical_history": (),
        "dietary_preferences": ({"kind": "allergy", "text": "Peanut", "criticality": "high"},),
    }
    return Card(**{**plain, **said})


def an_upload(document_id: str | None = None, version: str = VERSION, content: bytes = b"text\n", **said: Any) -> Upload:
    """A document ready to go."""
    plain: dict[str, Any] = {
        "document_id": document_id or a_key(),
        "version": version,
        "type": "lab_report",
        "type_coding": {"system": "http://loinc.org", "code": "11502-2", "display": "Laboratory report"},
        "title": "Lipid panel",
        "date": "2026-11-02",
        "authors": ("Dr A. Khan",),
        "source": {"kind": "primary_healthcare_provider", "organization": "Harbour GP", "system": None},
        "status": "current",
        "supersedes": None,
        "dietary": (),
        "abnormal": ("LDL 4.9 mmol/L H",),
        "media_type": "text/plain",
        "content": content,
        "sha256": digest(content),
    }
    return Upload(**{**plain, **said})


def a_patient(patient_key: str, **said: Any) -> Patient:
    """A canonical snapshot."""
    plain: dict[str, Any] = {"id": UUID(patient_key), "name": HumanName(family=f"Marker-{patient_key[:8]}", given=["Test"])}
    return Patient(**{**plain, "birth_date": "1970-10-03", **said})


def a_document(
    patient_key: str, document_id: str | None = None, *, text: str | None = "Fasting glucose is fine.", **said: Any
) -> HealthcareDocument:
    """A canonical document."""
    content = Content(
        text=text,
        sections=said.pop("sections", []),
        results=said.pop("results", []),
        attachments=said.pop("attachments", []),
    )
    plain: dict[str, Any] = {"id": UUID(document_id or a_key()), "patient_id": UUID(patient_key), "type": DocumentType.LAB_REPORT}
    return HealthcareDocument(**{**plain, "title": "Lipid panel", "source_version": VERSION, "content": content, **said})


def patient_record(patient: Patient, *, offset: int, revision: int = 1, destination_id: str = "carepatron", **changes: Any) -> Record:
    """A snapshot as it comes from Kafka."""
    event = Event(
        type=EventType.PATIENT_NORMALIZED,
        id=f"patient-{offset}",
        subject=str(patient.id),
        sourceversion=f"patient:{revision:020d}",
        destinationid=destination_id,
        data=patient.model_dump_json().encode(),
    )
    return _record(replace(event, **changes), str(patient.id), offset)


def document_record(
    document: HealthcareDocument,
    *,
    offset: int,
    version: str = VERSION,
    action: str = "upsert",
    destination_id: str = "carepatron",
    **changes: Any,
) -> Record:
    """A document as it comes from Kafka."""
    event = Event(
        type=EventType.DOCUMENT_NORMALIZED,
        id=f"document-{offset}",
        subject=str(document.patient_id),
        documentid=str(document.id),
        sourceversion=version,
        syncaction=action,
        destinationid=destination_id,
        data=document.model_dump_json().encode(),
    )
    return _record(replace(event, **changes), str(document.patient_id), offset)


def _record(event: Event, key: str, offset: int) -> Record:
    return Record("document.normalized.v1", 0, offset, key.encode(), event.data, tuple(write_headers(event)), 1_793_600_000_000)


CAPABILITIES = Capabilities(
    write_documents=True,
    upsert_by_reference=True,
    update_content=True,
    withdraw=True,
    share=False,
    webhooks=False,
    export_contacts=False,
    max_bytes=52_428_800,
    media_types=("application/pdf", "image/jpeg", "image/png", "text/plain", "application/xml"),
    rendering="pdf",
    evidence="modelled",
)


@dataclass
class _Client:
    card: Card
    status: str = "active"
    documents: dict[str, list[Upload]] = field(default_factory=dict)
    withdrawn: dict[str, str] = field(default_factory=dict)


class MemoryPlatform:
    """A platform that keeps the port's promises. `faults` are spent one for each call: `down`, `lost` (does it, then no answer)."""

    name = "carepatron"

    def __init__(self) -> None:
        self.clients: dict[str, _Client] = {}
        self.calls: list[str] = []
        self.effects: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self.spoilt: dict[str, bytes] = {}  # what the platform gives out instead of what it took

    def capabilities(self) -> Capabilities:
        """Everything that the writer needs."""
        return CAPABILITIES

    async def aclose(self) -> None:
        """Nothing to close."""

    def limits(self) -> dict[str, Any]:
        """There are none."""
        return {"writes_per_second": None, "paused_seconds": 0.0, "windows": []}

    async def admit(self) -> None:
        """There is always room."""

    async def probe(self) -> tuple[Drift, ...]:
        """It is what it is."""
        return ()

    async def upsert_patient(self, card: Card, external_id: str | None, *, is_new: bool = False) -> Answer:
        """By id, then by our reference, then by name and e-mail."""
        return self._call("upsert_patient", lambda: self._upsert(card, external_id, is_new=is_new))

    async def detach_patient(self, external_id: str, patient_key: str) -> Answer:
        """The client stays, as somebody else's."""
        self._begin("detach_patient")
        client = self.clients.get(external_id)
        if client is None or client.card.patient_key != patient_key:
            return Unchanged()
        client.card = replace(client.card, patient_key="", medical_history=(), dietary_preferences=(), nutrition_changes=())
        self.effects.append(("contact", patient_key))
        return Updated(external_id)

    async def find_patient(self, patient_key: str) -> str | None:
        """By our reference."""
        self._begin("find_patient")
        return self._by_key(patient_key)

    async def put_document(self, patient_external_id: str, upload: Upload) -> Answer:
        """Keeps the highest version."""
        return self._call("put_document", lambda: self._put(patient_external_id, upload))

    async def withdraw_document(self, patient_external_id: str, document_id: str, version: str) -> Answer:
        """Keeps what was there."""
        return self._call("withdraw_document", lambda: self._withdraw(patient_external_id, document_id, version))

    async def find_document(self, patient_external_id: str, document_id: str, compared_with: Upload | None) -> StoredDocument | None:
        """What is there."""
        self._begin("find_document")
        client = self.clients.get(patient_external_id)
        versions = client.documents.get(document_id) if client else None
        if client is None or not versions:
            return None
        return self._stored(client, versions, compared_with)

    async def read_back(self, patient_external_id: str, document_id: str) -> ReadBack | None:
        """The bytes that are there."""
        self._begin("read_back")
        client = self.clients.get(patient_external_id)
        versions = client.documents.get(document_id) if client else None
        if client is None or not versions:
            return None
        content = self.spoilt.get(document_id, versions[-1].content)
        return ReadBack(f"doc-{document_id}", versions[-1].version, digest(content), len(content), document_id in client.withdrawn)

    async def list_documents(self, patient_external_id: str) -> list[StoredDocument]:
        """All that are there."""
        self._begin("list_documents")
        client = self.clients.get(patient_external_id)
        return [self._stored(client, versions, None) for versions in client.documents.values()] if client else []

    def _stored(self, client: _Client, versions: list[Upload], compared_with: Upload | None) -> StoredDocument:
        last = versions[-1]
        is_withdrawn = last.document_id in client.withdrawn
        is_same = last == compared_with
        return StoredDocument(f"doc-{last.document_id}", last.version, len(versions), is_withdrawn, is_same, last.document_id, last.sha256)

    def set_status(self, external_id: str, status: str) -> None:
        """Archive or merge, as the clinic would."""
        self.clients[external_id].status = status

    def _by_key(self, patient_key: str) -> str | None:
        found = [key for key, one in self.clients.items() if one.card.patient_key == patient_key and one.status != "merged"]
        return found[0] if len(found) == 1 else None

    def _upsert(self, card: Card, external_id: str | None, *, is_new: bool) -> Answer:
        known = external_id if external_id in self.clients else self._by_key(card.patient_key)
        if known is None:
            born = (card.last_name, card.birth_date)
            alike = [key for key, one in self.clients.items() if (one.card.last_name, one.card.birth_date) == born]
            if alike and not is_new:
                return Parked(Reason.POSSIBLE_DUPLICATE, candidates=tuple(Candidate(one, ("name", "birth_date"), ()) for one in alike))
            made = a_key()
            self.clients[made] = _Client(card)
            self.effects.append(("contact", card.patient_key))
            return Created(made)
        client = self.clients[known]
        if client.status != "active":
            return Parked(Reason.CONTACT_MERGED if client.status == "merged" else Reason.CONTACT_ARCHIVED)
        if client.card == card:
            return Unchanged(known)
        client.card = card
        self.effects.append(("contact", card.patient_key))
        return Updated(known)

    def _refusal(self, contact: str) -> Answer | None:
        client = self.clients.get(contact)
        if client is None:
            return Parked(Reason.CONTACT_MISSING)
        if client.status == "active":
            return None
        return Parked(Reason.CONTACT_MERGED if client.status == "merged" else Reason.CONTACT_ARCHIVED)

    def _put(self, contact: str, upload: Upload) -> Answer:
        refusal = self._refusal(contact)
        if refusal is not None:
            return refusal
        client = self.clients[contact]
        versions = client.documents.setdefault(upload.document_id, [])
        highest = max([one.version for one in versions] + [client.withdrawn.get(upload.document_id, "")])
        if versions and upload.version < highest:
            return Stale()
        if versions and upload.version == highest:
            is_same = versions[-1] == upload and upload.document_id not in client.withdrawn
            return Unchanged(f"doc-{upload.document_id}") if is_same else Conflict()
        versions.append(upload)
        client.withdrawn.pop(upload.document_id, None)
        self.effects.append((upload.document_id, upload.version))
        made = f"doc-{upload.document_id}"
        return Created(made) if len(versions) == 1 else Updated(made)

    def _withdraw(self, contact: str, document_id: str, version: str) -> Answer:
        refusal = self._refusal(contact)
        if refusal is not None:
            return refusal
        client = self.clients[contact]
        if document_id not in client.documents:
            return Unchanged()
        if version < client.documents[document_id][-1].version:
            return Stale()
        if document_id in client.withdrawn:
            return Unchanged(f"doc-{document_id}")
        client.withdrawn[document_id] = version
        self.effects.append((document_id, f"withdrawn {version}"))
        return Updated(f"doc-{document_id}")

    def _begin(self, name: str) -> str:
        self.calls.append(name)
        fault = self.faults.pop(0) if self.faults else "none"
        if fault == "down":
            raise Unavailable("carepatron", "down", is_target_down=True)
        if fault == "unknown":
            raise OutcomeUnknown("carepatron", "timeout")
        return fault

    def _call(self, name: str, work: Any) -> Answer:
        fault = self._begin(name)
        answer: Answer = work()
        if fault == "lost":
            raise OutcomeUnknown("carepatron", "lost")
        return answer


class MemoryLedger:
    """A ledger in memory with the same compare-and-set. `fail_next` names methods whose next call finds the database away."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Link] = {}
        self.fail_next: list[str] = []
        self.questions: dict[tuple[str, str], list[Candidate]] = {}
        self.decisions: dict[tuple[str, str], Decision] = {}
        self.parked: set[tuple[str, str]] = set()

    async def park_patient(self, destination_id: str, patient_key: str, why: str) -> None:
        """Keep them."""
        self._check("park_patient")
        self.parked.add((destination_id, patient_key))

    async def ask_person(self, destination_id: str, patient_key: str, clinic_id: str | None, candidates: Sequence[Candidate]) -> None:
        """Keep the question."""
        self._check("ask_person")
        self.questions[destination_id, patient_key] = list(candidates)
        self.decisions.pop((destination_id, patient_key), None)

    async def read(self, offer: Offer) -> Known:
        """The rows of a document and its patient."""
        self._check("read")
        patient = self.rows.get((offer.destination_id, "patient", offer.patient_key))
        refusal = patient.refusal if patient and patient.state == "refused" else None
        decision = self.decisions.get((offer.destination_id, offer.patient_key))
        place = (offer.destination_id, offer.patient_key)
        return Known(self.rows.get(offer.key), patient.external_id if patient else None, refusal, decision, place in self.parked)

    async def claim(self, claim: Claim) -> bool:
        """Compare and set."""
        self._check("claim")
        known, offer = self.rows.get(claim.offer.key), claim.offer
        if (known.revision if known else 0) != claim.seen:
            return False
        external_id, repairs = (known.external_id, known.repairs) if known else (None, 0)
        self.rows[offer.key] = Link("sending", offer.version, offer.digest, offer.place, claim.seen + 1, external_id, repairs=repairs)
        return True

    async def settle(self, settled: Settled) -> None:
        """Compare and set."""
        self._check("settle")
        known, offer, end = self.rows.get(settled.offer.key), settled.offer, settled.settlement
        if known is None or known.revision != settled.seen:
            return
        external_id = (end.external_id if end else None) or known.external_id
        state: State = end.state if end else "waiting"
        status, refusal = (end.status, end.refusal) if end else (None, None)
        changed = Link(state, offer.version, offer.digest, offer.place, settled.seen + 1, external_id, status, refusal, known.repairs)
        self.rows[offer.key] = changed

    async def link_patient(self, destination_id: str, patient_key: str, external_id: str) -> None:
        """Remember."""
        key = (destination_id, "patient", patient_key)
        known = self.rows.get(key) or Link("waiting", "", "", "", 0)
        self.rows[key] = replace(known, state="waiting", external_id=external_id, revision=known.revision + 1)

    async def forget_patient(self, destination_id: str, patient_key: str, external_id: str) -> None:
        """Forget."""
        key = (destination_id, "patient", patient_key)
        known = self.rows.get(key)
        if known is not None and known.external_id == external_id:
            self.rows[key] = replace(known, state="waiting", external_id=None, revision=known.revision + 1)

    def _check(self, method: str) -> None:
        if method in self.fail_next:
            self.fail_next.remove(method)
            raise Unavailable("postgres", "down")


class PlainRenderer:
    """Documents as text, in this process; a lone file as it is. Keeps the promises of `handlers.Renderer`."""

    async def render(
        self, document: HealthcareDocument, files: Mapping[str, bytes], *, media_types: Sequence[str], max_bytes: int, rendering: str
    ) -> Rendered | None:
        """`rendering` makes no difference."""
        return as_it_is(document, files, media_types, max_bytes) or without_pdf(document, files, media_types)


class RunningSandbox:
    """The sandbox as a process of its own."""

    def __init__(self, state: Path, port: int | None = None) -> None:
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._state = state
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        env = {
            **os.environ,
            "SANDBOX_STATE": str(self._state),
            "SANDBOX_HTTP_PORT": str(self.port),
            "CAREPATRON_API_KEY": KEY,
            "CAREPATRON_API_KEY_FILE": "",
            "HEALTHCARE_RECORDS_ENV_FILE": os.devnull,
        }
        env.pop("CAREPATRON_API_KEY_FILE")
        self._process = subprocess.Popen([sys.executable, "-m", "services.carepatron_writer.sandbox_app"], env=env)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("the sandbox did not start")

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, path: str, body: Any = None) -> Any:
        """One of the sandbox's own routes."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data), timeout=10) as answer:
            return json.loads(answer.read())

    def effects(self, *external_ids: str) -> list[dict[str, Any]]:
        """State changes of these ids."""
        return [one for one in self.ask("/sandbox/effects")["effects"] if one["externalId"] in external_ids]

    @contextmanager
    def chaos(self, profile: str, *, account: str, rate: float = 1.0, seconds: float = 1.0) -> Iterator[None]:
        """A profile for one account."""
        self.ask("/sandbox/chaos", {"profile": profile, "rate": rate, "only": f"/providers/{account}/", "seconds": seconds})
        try:
            yield
        finally:
            self.ask("/sandbox/chaos", {"profile": "none"})


def open_adapter(
    url: str,
    *,
    account: str = "clinic",
    transport: httpx.AsyncBaseTransport | None = None,
    key: ApiKey | None = None,
    profile: Profile | None = None,
    limits: Limits | None = None,
    timeout_seconds: float = 5.0,
) -> Carepatron:
    """The adapter over a sandbox; call it inside a running loop."""
    chosen = profile or a_profile(requests={"timeout_seconds": timeout_seconds})
    root = f"{url}/v1/providers/{account}"
    client = PlatformClient(root, key or ApiKey(KEY, None), chosen, target="carepatron", transport=transport, limits=limits)
    return Carepatron(client, chosen)


def a_profile(package: str = PACKAGE, **changes: Any) -> Profile:
    """The shipped profile; a table given as a dict changes only what it names."""
    profile = load_profile(package)
    tables = {name: getattr(profile, name).model_copy(update=value) for name, value in changes.items() if isinstance(value, dict)}
    return profile.model_copy(update={**changes, **tables})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_done(call: Any, *, tries: int = 60) -> Any:
    """Call again after each outage, as a lane does, without its pauses."""
    for _ in range(tries):
        try:
            return await call()
        except Unavailable:
            await asyncio.sleep(0)
    raise AssertionError("never done")
