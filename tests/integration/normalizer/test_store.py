"""The registry on a real PostgreSQL: the same rules, many lanes in one transaction, two services at once."""

import asyncio
from typing import Any

from services.normalizer.registry.changes import Applied, Change, content_of
from services.normalizer.registry.documents import Decision
from services.normalizer.registry.store import PostgresRegistry
from shared.canonical.models import HealthcareDocument, Patient
from shared.postgres import open_pool
from tests.builders import DOCUMENT, PATIENT, a_document, a_patient, an_allergy


def change(
    version: int, *, offset: int = 0, text: str = "a", patient: str = PATIENT, document: str = DOCUMENT, allergy: str | None = None
) -> Change:
    one = a_document(f"oru:{version:020d}", text=text, document_id=document, patient=patient)
    offered = content_of(
        one,
        one.model_dump_json().encode(),
        sha256=text,
        mapping=1,
        origin=f"document.received.v1/0/{offset}",
        order=f"2026|{version}|{text}",
    )
    reading = a_patient(patient_key=patient, dietary_preferences=[an_allergy(allergy)] if allergy else [])
    return Change("provider", patient, reading, f"message|{text}", f"2026||{text}", (offered,))


def run(url: str, *batches: list[Change]) -> list[list[Applied]]:
    async def work() -> list[list[Applied]]:
        pool = await open_pool(url, application_name="test")
        try:
            registry = PostgresRegistry(pool)
            return [await registry.apply_all(batch) for batch in batches]
        finally:
            await pool.close()

    return asyncio.run(work())


def contents(url: str) -> Any:
    async def work() -> Any:
        pool = await open_pool(url, application_name="test")
        try:
            documents = await pool.fetch("SELECT document_id, source_version, shown_sha256 FROM healthcare_documents ORDER BY 1")
            patients = await pool.fetch("SELECT patient_key, snapshot FROM patients ORDER BY 1")
            return [tuple(row) for row in documents], [tuple(row) for row in patients]
        finally:
            await pool.close()

    return asyncio.run(work())


def test_what_is_stored_is_the_canonical_model(migrated_url: str) -> None:
    ((applied,),) = run(migrated_url, [change(1, allergy="762952008")])

    assert Patient.model_validate_json(applied.snapshot or b"").dietary_preferences[0].negated is False
    assert HealthcareDocument.model_validate_json(applied.documents[0].json or b"").content.text == "a"
    assert applied.revision == 1


def test_older_repeated_and_conflicting_versions_survive_a_restart(migrated_url: str) -> None:
    batches = run(
        migrated_url,
        [change(2, offset=1)],
        [change(1, text="old")],
        [change(2, offset=1)],
        [change(2, offset=3, text="b")],
        [change(2, offset=2, text="c")],
    )

    decisions = [one.documents[0].decision for batch in batches for one in batch]
    assert decisions == [Decision.FIRST, Decision.OLDER, Decision.REPEATED, Decision.CONFLICT_SHOWN, Decision.CONFLICT_KEPT]
    assert contents(migrated_url)[0][0][2] == "b"


def test_several_changes_of_one_patient_in_one_batch_count_like_batches_of_one(migrated_url: str) -> None:
    changes = [change(1, allergy="762952008"), change(2, text="b", allergy="102263004"), change(3, text="c")]

    run(migrated_url, changes)
    together = contents(migrated_url)
    run(migrated_url, *([one] for one in changes))

    assert contents(migrated_url) == together


def test_two_services_at_once_end_in_the_same_state(migrated_url: str) -> None:
    keys = [f"00000000-0000-5000-8000-{number:012d}" for number in range(20)]

    async def work() -> None:
        pool = await open_pool(migrated_url, application_name="test")
        try:
            registry = PostgresRegistry(pool)
            forward = [change(version, text=f"v{version}", patient=key, document=key) for key in keys for version in (1, 3, 2)]
            await asyncio.gather(registry.apply_all(forward), registry.apply_all(forward[::-1]), registry.apply_all(forward))
        finally:
            await pool.close()

    asyncio.run(work())

    documents, patients = contents(migrated_url)
    assert {row[2] for row in documents} == {"v3"}
    assert (len(documents), len(patients)) == (20, 20)


def test_an_identifier_leads_to_the_one_patient_who_carries_it(migrated_url: str) -> None:
    run(migrated_url, [change(1)])

    async def work() -> tuple[str | None, str | None]:
        pool = await open_pool(migrated_url, application_name="test")
        try:
            registry = PostgresRegistry(pool)
            return await registry.find_alias("provider", "urn:oid:2.999", "1"), await registry.find_alias("other", "urn:oid:2.999", "1")
        finally:
            await pool.close()

    assert asyncio.run(work()) == (PATIENT, None)


def test_what_the_lens_saw_is_there_for_later_documents(migrated_url: str) -> None:
    other = "00000000-0000-5000-8000-000000000001"

    batches = run(
        migrated_url, [change(1, allergy="762952008")], [change(2, document=other, text="b", allergy="762952008")], [change(3, text="c")]
    )

    marks = [[mark.code for mark in applied.documents[0].marks] for (applied,) in batches]
    assert marks == [["food_allergy:appeared"], [], []]
