"""The registry in PostgreSQL: changes of many lanes in one transaction, rows locked in order, a handful of round trips."""

from collections.abc import Sequence
from typing import Any

from services.normalizer.lens.findings import SIGHT
from services.normalizer.registry.changes import ENCODER, READING, Applied, Change, DocumentState, PatientState, StoredContent, apply_change
from services.normalizer.registry.documents import Known, Rival
from services.normalizer.registry.patients import Statement
from shared.postgres import guarded, load_queries

QUERIES = load_queries("services.normalizer")


class PostgresRegistry:
    """Applies changes. Every method raises Unavailable while the database is away."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def apply_all(self, changes: Sequence[Change]) -> list[Applied]:
        """Apply changes in their order, in one transaction; the results stand in the same order."""
        keys = sorted({one.patient_key for one in changes})
        ids = sorted({str(document.document.id) for one in changes for document in one.documents})
        providers = {one.patient_key: one.provider_id for one in changes}
        async with guarded(), self._pool.acquire() as connection, connection.transaction():
            await connection.execute(QUERIES["reserve_patients"], keys, [providers[key] for key in keys])
            patients = await self._load_patients(connection, keys)
            documents = await self._load_documents(connection, ids)
            applied = [apply_change(one, patients[one.patient_key], documents) for one in changes]
            await self._save(connection, changes, patients, documents)
        return applied

    async def mark_published(self, marks: Sequence[tuple[str, int]]) -> list[None]:
        """Remember that the broker has acknowledged these snapshots (patient key, revision)."""
        async with guarded():
            await self._pool.execute(QUERIES["mark_published"], [key for key, _ in marks], [revision for _, revision in marks])
        return [None] * len(marks)

    async def find_alias(self, provider_id: str, system: str, value: str) -> str | None:
        """The key of the one patient who carries this identifier; None when there is none or more than one."""
        async with guarded():
            rows = await self._pool.fetch(QUERIES["find_patient_keys"], provider_id, system, value)
        return str(rows[0]["patient_key"]) if len(rows) == 1 else None

    async def is_enrolled(self, clinic_id: str, patient_key: str) -> bool:
        """Whether a clinic wants this patient's documents (enrolment `listed`)."""
        async with guarded():
            return bool(await self._pool.fetchval(QUERIES["is_enrolled"], clinic_id, patient_key))

    async def _load_patients(self, connection: Any, keys: list[str]) -> dict[str, PatientState]:
        states: dict[str, PatientState] = {}
        for row in await connection.fetch(QUERIES["lock_patients"], keys):
            states[str(row["patient_key"])] = PatientState(
                str(row["patient_key"]),
                row["provider_id"],
                snapshot=row["snapshot"],
                revision=row["revision"],
                published_revision=row["published_revision"],
            )
        for row in await connection.fetch(QUERIES["load_statements"], keys):
            said, sight = READING.decode(row["reading"]), SIGHT.decode(row["sight"])
            statement = Statement(row["source_key"], row["statement_order"], said, row["is_withdrawn"], sight)
            states[str(row["patient_key"])].statements[statement.source_key] = statement
        return states

    async def _load_documents(self, connection: Any, ids: list[str]) -> dict[str, DocumentState]:
        contents: dict[str, dict[str, StoredContent]] = {}
        rivals: dict[str, list[Rival]] = {}
        rows = await connection.fetch(QUERIES["lock_documents"], ids)
        for row in await connection.fetch(QUERIES["load_contents"], ids):
            key = str(row["document_id"])
            contents.setdefault(key, {})[row["sha256"]] = StoredContent(row["document"], row["statement"], row["statement_order"])
            rivals.setdefault(key, []).append(Rival(row["sha256"], row["digest"], row["mapping"], row["origin"]))
        states: dict[str, DocumentState] = {}
        for row in rows:
            key = str(row["document_id"])
            known = Known(str(row["patient_key"]), row["source_version"], row["shown_sha256"], tuple(rivals[key]))
            states[key] = DocumentState(known, contents[key], row["type"], row["status"])
        return states

    async def _save(
        self, connection: Any, changes: Sequence[Change], patients: dict[str, PatientState], documents: dict[str, DocumentState]
    ) -> None:
        changed = [one for one in patients.values() if one.is_changed]
        if changed:
            await connection.execute(
                QUERIES["save_patients"],
                [one.patient_key for one in changed],
                [one.snapshot for one in changed],
                [one.revision for one in changed],
            )
        statements = [(one.patient_key, one.statements[key]) for one in patients.values() for key in sorted(one.changed_statements)]
        if statements:
            await connection.execute(
                QUERIES["save_statements"],
                [key for key, _ in statements],
                [one.source_key for _, one in statements],
                [one.order for _, one in statements],
                [ENCODER.encode(one.reading) for _, one in statements],
                [one.is_withdrawn for _, one in statements],
                [ENCODER.encode(one.sight) for _, one in statements],
            )
        await self._save_identifiers(connection, changes)
        await self._save_documents(connection, documents, {one.patient_key: one.provider_id for one in changes})

    async def _save_identifiers(self, connection: Any, changes: Sequence[Change]) -> None:
        rows = sorted(
            {(one.provider_id, item.system or "", item.value, one.patient_key) for one in changes for item in one.reading.identifiers}
        )
        if rows:
            await connection.execute(QUERIES["save_identifiers"], *([row[i] for row in rows] for i in range(4)))

    async def _save_documents(self, connection: Any, documents: dict[str, DocumentState], providers: dict[str, str]) -> None:
        changed = [(key, one) for key, one in documents.items() if one.is_changed]
        if changed:
            await connection.execute(
                QUERIES["save_documents"],
                [key for key, _ in changed],
                [one.known.patient_key for _, one in changed],
                [providers[one.known.patient_key] for _, one in changed],
                [one.type for _, one in changed],
                [one.status for _, one in changed],
                [one.known.source_version for _, one in changed],
                [one.known.shown for _, one in changed],
            )
        rows = [
            (key, one.known.source_version, rival, one.contents[rival.sha256])
            for key, one in documents.items()
            for rival in one.known.rivals
            if one.contents[rival.sha256].is_changed
        ]
        if rows:
            await connection.execute(
                QUERIES["save_contents"],
                [key for key, _, _, _ in rows],
                [version for _, version, _, _ in rows],
                [rival.sha256 for _, _, rival, _ in rows],
                [rival.digest for _, _, rival, _ in rows],
                [rival.mapping for _, _, rival, _ in rows],
                [rival.origin for _, _, rival, _ in rows],
                [content.json for _, _, _, content in rows],
                [content.statement for _, _, _, content in rows],
                [content.statement_order for _, _, _, content in rows],
            )
