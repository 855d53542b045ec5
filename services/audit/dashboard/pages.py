"""Server-rendered pages: what came, what became of it, what needs someone; the story of one document. No script."""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError

from services.audit.bookkeeping import books_line
from services.audit.books_keeper import BooksKeeper
from services.audit.dashboard.figures import RecentFigures, mood_of
from services.audit.log_query import LogFilter, fetch_page, fetch_timeline
from services.audit.playbook import play_of
from shared.errors import Unavailable
from shared.outcomes import Reason, Stage, Status

ROWS = 50
NAMED = 20  # missing documents shown on the page; the command line names all
FIELDS = [*LogFilter.model_fields]


def make_pages(pool: Any, books: BooksKeeper, *, refresh_seconds: int) -> APIRouter:
    """The pages over a pool and the books."""
    router = APIRouter(include_in_schema=False)
    templates = make_templates()
    recent = RecentFigures(pool)

    def render(name: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(templates.get_template(name).render(books=books_view(books), **values), status)

    @router.get("/")
    async def show_dashboard(request: Request) -> Response:
        given = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
        cursor = given.pop("cursor", None)
        try:
            wanted, wrong = read_filter(given)
            try:
                page = await fetch_page(pool, wanted, cursor=cursor, limit=ROWS)
            except ValueError:
                wrong, page = [*wrong, "cursor"], await fetch_page(pool, wanted, limit=ROWS)
            figures = await recent.get()
        except Unavailable:
            return render("away.html", 503)
        shown = {name: value for name, value in given.items() if name in FIELDS and name not in wrong}
        following = f"?{urlencode({**shown, 'cursor': page.next_cursor})}#log" if page.next_cursor else None
        return render(
            "dashboard.html",
            400 if wrong else 200,
            figures=figures,
            rows=page.rows,
            shown=shown,
            given={name: shown.get(name, "") for name in FIELDS},
            wrong=wrong,
            following=following,
            is_first=cursor is None,
            refresh=0 if shown or cursor else refresh_seconds,
            statuses=list(Status),
            stages=list(Stage),
            reasons=list(Reason),
        )

    @router.get("/documents/{document_id}")
    async def show_document(document_id: UUID) -> Response:
        try:
            rows = await fetch_timeline(pool, document_id)
        except Unavailable:
            return render("away.html", 503)
        return render("document.html", 200 if rows else 404, document_id=document_id, rows=rows)

    return router


def read_filter(given: Mapping[str, str]) -> tuple[LogFilter, list[str]]:
    """The filter that the URL asks for and the names of what was wrong; wrong and unknown parts are left out."""
    known = {name: value for name, value in given.items() if name in FIELDS}
    wrong = ["unknown filter"] if len(known) != len(given) else []
    try:
        return LogFilter.model_validate(known), wrong
    except ValidationError as error:
        faulty = sorted({str(one["loc"][0]) for one in error.errors()})
        return LogFilter.model_validate({name: value for name, value in known.items() if name not in faulty}), [*wrong, *faulty]


def books_view(keeper: BooksKeeper) -> dict[str, Any]:
    """The line about the books, its colour, and the first of what is missing."""
    latest = keeper.latest
    if latest is None:
        return {"line": "The books are being checked.", "mood": "quiet", "missing": [], "more": 0}
    return {
        "line": books_line(latest),
        "mood": "good" if latest.books_balanced else "bad",
        "missing": latest.missing[:NAMED],
        "more": latest.missing_count - len(latest.missing[:NAMED]),
    }


def make_templates() -> Environment:
    """Templates that escape everything."""
    folder = str(files("services.audit.dashboard").joinpath("templates"))
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "moment": moment_text,
        "ago": ago,
        "short": short,
        "mood": mood_of,
        "words": words,
        "play": play_of,
        "number": number,
    }
    environment.filters["plain"] = plain
    environment.globals["link"] = lambda **wanted: f"/?{urlencode(wanted)}#log"
    return environment


def moment_text(moment: datetime) -> str:
    """Date and time as people read it, UTC."""
    return f"{moment.astimezone(UTC):%d %b %Y, %H:%M:%S}"


def ago(moment: datetime) -> str:
    """How long ago, roughly."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "just now"


def short(text: object) -> str:
    """The beginning of an id."""
    return str(text)[:8]


def words(text: str | None) -> str:
    """A code as words."""
    return (text or "").replace("_", " ")


def plain(text: str) -> str:
    """A sentence of the playbook without its marks for code."""
    return text.replace("`", "")


def number(count: int) -> str:
    """A count with narrow spaces between thousands."""
    return f"{count:,}".replace(",", "\u202f")
