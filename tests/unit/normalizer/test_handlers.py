"""One received document at a time: what is passed on, what ends here, and what a repetition or an outage does."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid5

import pytest
from pydantic import ValidationError

from services.normalizer.handlers import normalize_documents
from services.normalizer.registry.changes import Applied, Change, DocumentState, PatientState, apply_change
from services.normalizer.registry.patients import statement
from services.normalizer.relevance import Relevance, Rule
from shared.canonical.elements import Attachment, Coding, Content, HumanName, Result, Value
from shared.canonical.models import HealthcareDocument, Patient
from shared.canonical.reading import DocumentReading, Format, PatientReading, ProviderProfile, Reading, rejected
from shared.delivery.records import Record
from shared.errors import Unavailable
from shared.events import Event, EventType, read_headers, write_headers
from shared.identity import NAMESPACE, digest
from shared.outcomes import Done, Outcomes, Reason, Rejected, Skipped, Status
from shared.providers import Clinic, Directory
from shared.testing import MemoryContentStore
from tests.builders import DOCUMENT, PATIENT, a_patient, a_record, an_allergy

Item = tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]


class FakeRegistry:
    """The registry's rules over plain dictionaries."""

    def __init__(self) -> None:
        self.patients: dict[str, PatientState] = {}
        self.documents: dict[str, DocumentState] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self.enrolled: set[str] = set()

    async def apply(self, change: Change) -> Applied:
        state = self.patients.setdefault(change.patient_key, PatientState(change.patient_key, change.provider_id))
        return apply_change(change, state, self.documents)

    async def mark_published(self, patient_key: str, revision: int) -> None:
        self.patients[patient_key].published_revision = revision

    async def find_alias(self, provider_id: str, system: str, value: str) -> str | None:
        return self.aliases.get((system, value))

    async def is_enrolled(self, clinic_id: str, patient_key: str) -> bool:
        return patient_key in self.enrolled


class FakeReader:
    """Gives one reading, whatever the bytes."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    async def read(self, content: bytes, provider: ProviderProfile, format: Format | None, media_type: str | None) -> Reading:
        return self.reading


class FakePublisher:
    """Remembers what was sent; `is_down` makes it refuse."""

    def __init__(self) -> None:
        self.sent: list[Item] = []
        self.is_down = False

    async def send_all(self, items: Sequence[Item]) -> list[str]:
        if self.is_down:
            raise Unavailable("kafka")
        self.sent += items
        return [f"document.normalized.v1/0/{len(self.sent) - len(items) + index}" for index in range(len(items))]

    @property
    def types(self) -> list[str]:
        return [read_headers(headers)["type"] for _, _, _, headers in self.sent]


class World:
    """A handler with everything around it."""

    def __init__(
        self,
        reading: Reading,
        *,
        directory: Directory | None = None,
        rules: Sequence[Rule] = (),
        claim_check_bytes: int = 1 << 20,
        age: float = 1e9,
    ) -> None:
        self.registry, self.reader, self.publisher, self.content = (
            FakeRegistry(),
            FakeReader(reading),
            FakePublisher(),
            MemoryContentStore(),
        )
        self.handler = normalize_documents(
            self.registry,
            self.reader,
            self.content,
            self.publisher,
            directory or Directory(),
            Relevance(rules),
            claim_check_bytes=claim_check_bytes,
            patient_wait_seconds=1.0,
            clock=lambda: a_record().timestamp_ms / 1000 + age,
        )

    def handle(self, *, offset: int = 0, data: bytes = b"bytes", **attributes: str) -> Outcomes:
        event = Event(type=EventType.DOCUMENT_RECEIVED, id="e1", providerid="gp", sha256=digest(data), correlationid="c1", **attributes)
        record = a_record(data, headers=tuple(write_headers(event)), offset=offset)
        return asyncio.run(self.deliver(record))

    async def deliver(self, record: Record) -> Outcomes:
        return await self.handler(record)


def a_reading(
    version: int = 1,
    *,
    text: str = "text",
    patient: PatientReading | None = None,
    type: str = "lab_report",
    content: Content | None = None,
    **document: object,
) -> Reading:
    shown = content or Content(text=text)
    one = DocumentReading(DOCUMENT, PATIENT, type, f"oru:{version:020d}", "Report", content=shown, **document)  # type: ignore[arg-type]
    return Reading("hl7v2", "normalized", patients=[patient or a_patient()], documents=[one], source_time="2026-11-02")


def test_the_patient_goes_before_its_document_and_both_are_accounted_for() -> None:
    world = World(a_reading())

    outcomes = world.handle()

    assert world.publisher.types == [EventType.PATIENT_NORMALIZED, EventType.DOCUMENT_NORMALIZED]
    assert [(one.status, one.facts.document_id, one.facts.passed_on) for one in outcomes] == [
        (Status.NORMALIZED, DOCUMENT, ("document.normalized.v1/0/0", "document.normalized.v1/0/1"))
    ]
    assert {key for _, key, _, _ in world.publisher.sent} == {PATIENT.encode()}


def test_what_is_published_is_the_owners_model() -> None:
    world = World(a_reading())

    world.handle()

    patient, document = (value for _, _, value, _ in world.publisher.sent)
    assert Patient.model_validate_json(patient or b"").name == HumanName(family="Marker", given=["Test"])
    assert HealthcareDocument.model_validate_json(document or b"").content.text == "text"


def test_a_repetition_publishes_the_document_again_with_the_same_ids_and_the_patient_only_when_replayed() -> None:
    world = World(a_reading())

    world.handle()
    world.handle()
    world.handle(replayid="r")

    first, again, replayed = world.publisher.sent[:2], world.publisher.sent[2:3], world.publisher.types[3:]
    assert again == first[1:]
    assert replayed == [EventType.PATIENT_NORMALIZED, EventType.DOCUMENT_NORMALIZED]


def test_a_patient_whom_one_clinic_has_not_got_yet_is_published_again() -> None:
    rule = Rule(name="no_labs", decision="skip", clinics=("south",), types=("lab_report",))  # type: ignore[arg-type]
    world = World(a_reading(), directory=Directory(clinics={"north": Clinic(), "south": Clinic()}), rules=[rule])
    world.handle()
    world.reader.reading = a_reading(2, type="progress_note")

    world.handle(offset=1)

    patients = [
        read_headers(headers)["clinicid"]
        for _, _, _, headers in world.publisher.sent
        if read_headers(headers)["type"] == EventType.PATIENT_NORMALIZED
    ]
    assert patients == ["north", "north", "south"]


def test_an_outage_after_the_upsert_loses_nothing() -> None:
    world = World(a_reading())
    world.publisher.is_down = True
    with pytest.raises(Unavailable):
        world.handle()
    world.publisher.is_down = False

    outcomes = world.handle()

    assert [one.status for one in outcomes] == [Status.NORMALIZED]
    assert len(world.publisher.sent) == 2


def test_an_older_version_ends_as_superseded_and_is_not_passed_on() -> None:
    world = World(a_reading(2))
    world.handle(offset=1)
    world.reader.reading = a_reading(1, text="old")

    outcomes = world.handle(offset=2, data=b"old")

    assert [one.status for one in outcomes] == [Status.SUPERSEDED]
    assert len(world.publisher.sent) == 2


def test_equal_versions_with_other_content_are_flagged_and_the_later_one_is_shown() -> None:
    world = World(a_reading(text="first"))
    world.handle(offset=1, data=b"first")
    world.reader.reading = a_reading(text="second")

    (outcome,) = world.handle(offset=2, data=b"second")

    assert Reason.VERSION_CONFLICT in outcome.facts.warnings
    assert b"second" in (world.publisher.sent[-1][2] or b"")


def test_a_withdrawal_travels_as_one() -> None:
    world = World(a_reading(status="withdrawn"))

    world.handle()

    assert read_headers(world.publisher.sent[-1][3])["syncaction"] == "withdraw"


def test_what_is_taken_back_goes_on_whatever_the_rules_say_and_alone() -> None:
    rule = Rule(name="no_labs", decision="skip", types=("lab_report",))  # type: ignore[arg-type]
    directory = Directory(clinics={"clinic": Clinic(), "other": Clinic(enrolment="listed")})
    world = World(a_reading(status="withdrawn"), directory=directory, rules=[rule])

    outcomes = world.handle()

    assert [one.status for one in outcomes] == [Status.NORMALIZED]
    assert world.publisher.types == [EventType.DOCUMENT_NORMALIZED] * 2
    assert [read_headers(one[3])["clinicid"] for one in world.publisher.sent] == ["clinic", "other"]


def test_another_person_under_a_known_identifier_is_never_merged() -> None:
    world = World(a_reading())
    world.handle()
    world.reader.reading = a_reading(2, patient=a_patient(name=HumanName(family="Else"), birth_date="1950-01-01"))

    (outcome,) = world.handle(offset=1)

    assert outcome == Rejected(Reason.PATIENT_CONFLICT, None, outcome.facts)
    assert outcome.facts.document_id == DOCUMENT
    assert len(world.publisher.sent) == 2


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (rejected("hl7v2", Reason.MALFORMED_HL7, "MSH"), Reason.MALFORMED_HL7),
        (Reading("fhir", "normalized", patients=[a_patient(), a_patient()]), Reason.SEVERAL_PATIENTS),
        (Reading("hl7v2", "normalized", merges=[(PATIENT, DOCUMENT)]), Reason.MERGE_REQUESTED),
        (Reading("pdf", "normalized", documents=[replace(a_reading().documents[0], patient_key=None)]), Reason.PATIENT_UNIDENTIFIED),
        (a_reading(patient=PatientReading(PATIENT)), Reason.PATIENT_UNIDENTIFIED),
    ],
)
def test_what_cannot_be_filed_is_refused_with_its_reason(reading: Reading, reason: Reason) -> None:
    world = World(reading)

    (outcome,) = world.handle()

    assert isinstance(outcome, Rejected)
    assert outcome.reason is reason
    assert world.publisher.sent == []


def test_a_patient_named_by_the_publisher_counts_where_the_content_names_nobody() -> None:
    world = World(a_reading())
    world.handle()
    other = str(uuid5(NAMESPACE, "pdf"))
    world.reader.reading = Reading("pdf", "normalized", documents=[replace(a_reading().documents[0], patient_key=None, document_id=other)])

    (outcome,) = world.handle(offset=1, subject=PATIENT)

    assert (outcome.status, outcome.facts.patient_key) == (Status.NORMALIZED, PATIENT)


def test_a_document_number_of_another_patient_is_refused() -> None:
    world = World(a_reading())
    world.handle()
    world.reader.reading = a_reading(2, patient=a_patient(patient_key=str(uuid5(NAMESPACE, "another"))))

    (outcome,) = world.handle(offset=1)

    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.DOCUMENT_OF_ANOTHER_PATIENT


def test_a_message_about_the_patient_alone_passes_the_patient_on() -> None:
    world = World(Reading("hl7v2", "normalized", patients=[a_patient()], source_time="2026"))

    (outcome,) = world.handle()

    assert isinstance(outcome, Done)
    assert world.publisher.types == [EventType.PATIENT_NORMALIZED]


def test_files_are_kept_before_anything_is_published() -> None:
    reading = a_reading()
    reading.documents[0].content.attachments = [Attachment("application/pdf", 3, digest(b"pdf"))]
    reading.files = {digest(b"pdf"): b"pdf"}
    world = World(reading)

    world.handle()

    assert asyncio.run(world.content.get(f"sha256/{digest(b'pdf')}")) == b"pdf"


def test_large_events_carry_a_reference() -> None:
    world = World(a_reading(text="x" * 2000), claim_check_bytes=1000)

    world.handle()

    _, _, value, headers = world.publisher.sent[-1]
    assert value == b""
    assert b"x" * 2000 in asyncio.run(world.content.get(read_headers(headers)["contentref"]))


def test_content_that_is_gone_is_refused() -> None:
    world = World(a_reading())

    (outcome,) = world.handle(contentref=f"sha256/{'0' * 64}")

    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CONTENT_MISSING


def test_each_clinic_decides_for_itself() -> None:
    rule = Rule(name="no_labs", decision="skip", clinics=("south",), types=("lab_report",))  # type: ignore[arg-type]
    directory = Directory(clinics={"north": Clinic(), "south": Clinic(), "west": Clinic(enrolment="listed")})
    world = World(a_reading(), directory=directory, rules=[rule])

    outcomes = world.handle()

    assert [(one.status, one.facts.clinic_id, one.facts.rule) for one in outcomes if isinstance(one, Skipped)] == [
        (Status.SKIPPED, "south", "no_labs"),
        (Status.SKIPPED, "west", None),
    ]
    assert {read_headers(headers)["clinicid"] for _, _, _, headers in world.publisher.sent} == {"north"}
    assert len({one.facts.part for one in outcomes}) == len(outcomes)


def test_a_document_that_only_names_a_resource_finds_its_patient() -> None:
    reference = a_patient(
        patient_key=DOCUMENT, name=None, birth_date=None, identifiers=[replace(a_patient().identifiers[0], type="resource")]
    )
    world = World(a_reading())
    world.handle()
    world.registry.aliases[("urn:oid:2.999", "1")] = PATIENT
    world.reader.reading = a_reading(patient=reference)
    world.reader.reading.documents[0].document_id = str(uuid5(NAMESPACE, "other"))

    (outcome,) = world.handle(offset=1)

    assert (outcome.status, outcome.facts.patient_key) == (Status.NORMALIZED, PATIENT)


@pytest.mark.parametrize(("age", "status"), [(1.0, Status.NORMALIZED), (60.0, Status.REJECTED)])
def test_a_fresh_document_waits_for_the_patient_it_refers_to_and_a_backlog_does_not(age: float, status: Status) -> None:
    reference = a_patient(
        patient_key=DOCUMENT, name=None, birth_date=None, identifiers=[replace(a_patient().identifiers[0], type="resource")]
    )
    world = World(a_reading(patient=reference), age=age)
    world.registry.patients[PATIENT] = PatientState(PATIENT, "gp", {"m": statement("m", "1", a_patient())})

    async def work() -> Outcomes:
        asyncio.get_running_loop().call_later(0.1, lambda: world.registry.aliases.update({("urn:oid:2.999", "1"): PATIENT}))
        return await world.deliver(
            a_record(headers=tuple(write_headers(Event(type=EventType.DOCUMENT_RECEIVED, id="e1", providerid="gp"))))
        )

    (outcome,) = asyncio.run(work())

    assert outcome.status is status


def results(number: str, flag: str) -> Content:
    return Content(
        text="text", results=[Result(Coding("http://loinc.org", "2823-3", "K"), Value("quantity", number, None, "mmol/L"), None, flag)]
    )


def test_what_changed_for_a_dietician_goes_to_the_snapshot_and_as_codes_to_the_log() -> None:
    peanut = a_patient(dietary_preferences=[an_allergy("762952008")])
    world = World(a_reading(patient=peanut, content=results("5.9", "H")))

    (outcome,) = world.handle()

    snapshot = Patient.model_validate_json(world.publisher.sent[0][2] or b"")
    assert [(one.name, one.said, one.source_document_id, one.path) for one in snapshot.nutrition_changes] == [
        ("Potassium", "5.9 mmol/L", DOCUMENT, "results[0]"),
        ("Food allergy", "762952008", DOCUMENT, "dietary_preferences[0]"),
    ]
    assert outcome.facts.nutrition == ("food_allergy:appeared", "potassium:out_of_range")


def test_a_repetition_marks_the_same_and_changes_no_snapshot() -> None:
    world = World(a_reading(content=results("5.9", "H")))

    outcomes = [world.handle(offset=0), world.handle(offset=1), world.handle(offset=2, replayid="r1")]

    assert {one.facts.nutrition for (one,) in outcomes} == {("potassium:out_of_range",)}
    assert world.registry.patients[PATIENT].revision == 1


def test_a_message_about_the_patient_alone_is_marked_too() -> None:
    reading = Reading("hl7v2", "normalized", patients=[a_patient(dietary_preferences=[an_allergy("1")])], source_time="2026-11-02")

    (outcome,) = World(reading).handle()

    assert outcome.facts.nutrition == ("food_allergy:appeared",)


@pytest.mark.parametrize(("flag", "status"), [("H", Status.NORMALIZED), ("N", Status.SKIPPED)])
def test_what_a_dietician_has_to_know_can_make_a_document_wanted(flag: str, status: Status) -> None:
    rules = (
        Rule(name="notable", decision="take", nutrition=("potassium",)),
        Rule(name="no_labs", decision="skip", types=("lab_report",)),  # type: ignore[arg-type]
    )

    outcomes = World(a_reading(content=results("5.9", flag)), rules=rules).handle()

    assert outcomes[0].status is status


def test_relevance_knows_the_rules_of_the_lens() -> None:
    assert Rule(name="any", decision="take", nutrition=("*", "warfarin")).nutrition
    with pytest.raises(ValidationError, match="no rule of the diet lens: potasium"):
        Rule(name="typo", decision="take", nutrition=("potasium",))
