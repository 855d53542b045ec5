"""`/api/v1`: the sync log for dashboards and clinic staff. Ids, codes, counts and times; no clinical content by construction."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from services.audit.api.problems import FieldProblem, described, problem
from services.audit.log_query import MAX_LIMIT, LogFilter, fetch_page, fetch_timeline


class LogQuery(LogFilter):
    """The filter, and which page of it."""

    cursor: str | None = Field(default=None, max_length=64, description="`next_cursor` of the page before")
    limit: int = Field(default=50, ge=1, le=MAX_LIMIT, description="rows on a page")


class SyncLogEntry(BaseModel):
    """One outcome of one event at one stage."""

    model_config = ConfigDict(extra="ignore")

    id: UUID = Field(description="outcome id")
    patient_id: UUID | None = Field(description="our id of the patient")
    document_id: UUID | None = Field(description="our id of the document")
    action: str | None = Field(description="what was tried")
    timestamp: datetime = Field(description="when the stage decided, UTC")
    status: str = Field(description="what became of it")
    reason: str | None = Field(description="why not")
    where: str | None = Field(description="path of the fault, such as PID-3.1")
    stage: str = Field(description="the service that decided")
    platform: str | None = Field(description="where it was written")
    external_id: str | None = Field(description="the platform's id")
    provider: str | None = Field(description="where it came from")
    clinic_id: str | None = Field(description="whose it is")
    attempt: int = Field(description="tries needed")
    duration_ms: int = Field(description="time of the last try")
    correlation_id: str | None = Field(description="id of the published event")
    replay_id: str | None = Field(description="the replay that sent it again")
    mapping_version: str | None = Field(description="version of the mapping")
    document_type: str | None = Field(description="canonical type")
    details: dict[str, Any] = Field(description="codes, counts and coordinates")
    is_terminal: bool = Field(description="whether it ends the document's way")


class SyncLogPage(BaseModel):
    """Rows, newest first."""

    items: list[SyncLogEntry]
    next_cursor: str | None = Field(description="for the next page; null on the last one")


class Timeline(BaseModel):
    """What happened to a document, oldest first."""

    document_id: UUID
    items: list[SyncLogEntry]


def make_router(get_pool: Callable[[], Any]) -> APIRouter:
    """The routes over a pool."""
    router = APIRouter(prefix="/api/v1", tags=["sync log"])
    unavailable = described(503, "the database is away; try again later")

    @router.get(
        "/sync-logs",
        operation_id="listSyncLogs",
        summary="Search the sync log",
        response_model=SyncLogPage,
        responses={**described(400, "a parameter is wrong"), **unavailable},
    )
    async def list_sync_logs(query: Annotated[LogQuery, Query()]) -> Any:
        wanted = LogFilter(**query.model_dump(exclude={"cursor", "limit"}))
        try:
            page = await fetch_page(get_pool(), wanted, cursor=query.cursor, limit=query.limit)
        except ValueError:
            return bad_cursor()
        return {"items": page.rows, "next_cursor": page.next_cursor}

    @router.get(
        "/documents/{document_id}/timeline",
        operation_id="getDocumentTimeline",
        summary="What happened to a document",
        response_model=Timeline,
        responses={**described(400, "not a document id"), **described(404, "nothing is known of this document"), **unavailable},
    )
    async def get_timeline(document_id: Annotated[UUID, Path(description="our id of the document")]) -> Any:
        rows = await fetch_timeline(get_pool(), document_id)
        if not rows:
            return problem(404, "document_unknown", "Nothing is known of this document.")
        return {"document_id": document_id, "items": rows}

    return router


def bad_cursor() -> Response:
    """The cursor was not made by us."""
    return problem(400, "bad_request", "A parameter is wrong.", errors=[FieldProblem(field="cursor", code="not_a_cursor")])
