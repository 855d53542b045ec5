"""The chart view: clients, their dietary facts and documents, as pages for people. Server rendered; hostile text stays text."""

import asyncio
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from services.carepatron_writer.platforms.carepatron.sandbox.documents_api import DocumentsApi
from services.carepatron_writer.platforms.carepatron.sandbox.pictures import pages_in, picture_of
from services.carepatron_writer.platforms.carepatron.sandbox.records import Contact, Document, Records, Version

PAGE = 50
MAX_PAGES = 30  # of a PDF shown on a page
MAX_SHOWN = 400_000  # characters of a text shown on a page; the file itself is a link
HEADERS = {
    # no scripts, no frames, nothing from elsewhere
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
INLINE = frozenset({"application/pdf", "image/jpeg", "image/png", "text/plain"})  # the rest is offered as a download
CRITICAL = frozenset({"HH", "LL", "AA", "HU", "LU"})
RISKS = frozenset({"allergy", "intolerance"})
GONE = frozenset({"inactive", "resolved", "refuted", "entered-in-error"})


class Chart:
    """Pages over the sandbox's records."""

    def __init__(self, records: Records, documents: DocumentsApi) -> None:
        self._records = records
        self._documents = documents
        loader = PackageLoader("services.carepatron_writer.platforms.carepatron.sandbox")
        self._pages = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
        self._pages.filters["words"] = lambda code: str(code).replace("_", " ")
        self._pages.globals.update(name_of=name_of, term_of=term_of, is_critical=is_critical)

    def routes(self) -> list[BaseRoute]:
        """Pages and their style sheet."""
        return [
            Route("/", self.clients),
            Route("/chart.css", self.style),
            Route("/clients/{contactId}", self.client),
            Route("/clients/{contactId}/documents/{externalId}", self.document),
            Route("/clients/{contactId}/documents/{externalId}/file", self.file),
            Route("/clients/{contactId}/documents/{externalId}/pages/{page:int}.png", self.page),
        ]

    async def style(self, _: Request) -> Response:
        """The style sheet."""
        text = files("services.carepatron_writer.platforms.carepatron.sandbox").joinpath("templates/chart.css").read_bytes()
        return Response(text, media_type="text/css", headers={"Cache-Control": "max-age=300"})

    async def clients(self, request: Request) -> Response:
        """All clients, by name."""
        everybody = sorted(self._records.contacts.values(), key=lambda one: (name_of(one).casefold(), one.id))
        pages = max(1, -(-len(everybody) // PAGE))
        page = min(max(1, _number(request.query_params.get("page"), 1)), pages)
        shown = [(one, _risks(one)) for one in everybody[(page - 1) * PAGE : page * PAGE]]
        return self._page("clients.html", clients=shown, total=len(everybody), page=page, pages=pages)

    async def client(self, request: Request) -> Response:
        """One client: dietary facts on top, then documents, then history."""
        contact = self._records.contacts.get(request.path_params["contactId"])
        if contact is None:
            return self._missing()
        documents = sorted(
            contact.documents.items(), key=lambda pair: (pair[1].current.metadata.get("documentDate") or "", pair[0]), reverse=True
        )
        diet = contact.body.get("dietaryPreferences", [])
        history: dict[str, list[dict[str, Any]]] = {}
        for entry in contact.body.get("medicalHistory", []):
            history.setdefault(str(entry.get("kind", "other")), []).append(entry)
        return self._page(
            "client.html",
            contact=contact,
            documents=documents,
            risks=_risks(contact),
            denials=[one for one in diet if one.get("negated") and not _is_gone(one)],
            wishes=[one for one in diet if not one.get("negated") and not _is_gone(one) and one.get("kind") not in RISKS],
            past=[one for one in diet if _is_gone(one)],
            history=history,
        )

    async def document(self, request: Request) -> Response:
        """One document: facts, versions and what it says."""
        found = self._version(request)
        if found is None:
            return self._missing()
        contact, document, number = found
        version = document.versions[number - 1]
        text, pages = None, 0
        if version.metadata["contentType"] in ("text/plain", "application/xml"):
            text = self._content(version).decode("utf-8", "replace")[:MAX_SHOWN]
        elif version.metadata["contentType"] == "application/pdf":
            pages = await asyncio.to_thread(pages_in, self._content(version))
        return self._page(
            "document.html",
            contact=contact,
            document=document,
            version=version,
            number=number,
            text=text,
            pages=pages,
            shown_pages=min(pages, MAX_PAGES),
            external_id=request.path_params["externalId"],
        )

    async def file(self, request: Request) -> Response:
        """The bytes of a version."""
        found = self._version(request)
        if found is None:
            return self._missing()
        version = found[1].versions[found[2] - 1]
        answer = self._documents.content_of(version, request)
        answer.headers.update(HEADERS)
        if version.metadata["contentType"] not in INLINE:
            answer.headers["Content-Disposition"] = "attachment"
        return answer

    async def page(self, request: Request) -> Response:
        """A page of a PDF as a picture."""
        found = self._version(request)
        number = request.path_params["page"]
        if found is None or not 1 <= number <= MAX_PAGES:
            return self._missing()
        version = found[1].versions[found[2] - 1]
        picture = await asyncio.to_thread(picture_of, self._content(version), number)
        return Response(picture, media_type="image/png", headers=HEADERS) if picture else self._missing()

    def _content(self, version: Version) -> bytes:
        return self._records.journal.content(version.position, version.metadata["size"])

    def _version(self, request: Request) -> tuple[Contact, Document, int] | None:
        contact = self._records.contacts.get(request.path_params["contactId"])
        document = contact.documents.get(request.path_params["externalId"]) if contact else None
        if contact is None or document is None:
            return None
        number = _number(request.query_params.get("version"), len(document.versions))
        return (contact, document, number) if 1 <= number <= len(document.versions) else None

    def _missing(self) -> Response:
        return self._page("missing.html", 404)

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self._pages.get_template(template).render(values), status, HEADERS)


def name_of(contact: Contact) -> str:
    """A client's name as it is read."""
    return f"{contact.body.get('firstName', '')} {contact.body.get('lastName', '')}".strip()


def term_of(entry: dict[str, Any]) -> str:
    """What an entry is about, in words."""
    code = entry.get("code") or {}
    return str(entry.get("text") or code.get("display") or code.get("code") or "not named")


def is_critical(line: str) -> bool:
    """Whether a line of the summary ends with a flag that cannot wait (HL7 table 0078)."""
    return line.rpartition(" ")[2] in CRITICAL


def _risks(contact: Contact) -> list[dict[str, Any]]:
    """Allergies and intolerances to food that hold."""
    diet = contact.body.get("dietaryPreferences", [])
    found = [one for one in diet if one.get("kind") in RISKS and not one.get("negated") and not _is_gone(one)]
    return sorted(found, key=lambda one: (one.get("criticality") != "high", term_of(one)))


def _is_gone(entry: dict[str, Any]) -> bool:
    return str(entry.get("status", "")) in GONE


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else default
