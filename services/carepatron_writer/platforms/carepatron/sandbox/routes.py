"""The operations of openapi.yaml, and no other: which handler answers what, by the names that the profile uses too."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from services.carepatron_writer.platforms.carepatron.sandbox.contacts_api import ContactsApi
from services.carepatron_writer.platforms.carepatron.sandbox.documents_api import DocumentsApi
from services.carepatron_writer.platforms.carepatron.sandbox.door import Door
from services.carepatron_writer.platforms.carepatron.sandbox.exports_api import ExportsApi
from services.carepatron_writer.platforms.carepatron.sandbox.plain_api import PlainApi
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.shares_api import SharesApi

ACCOUNT = "/providers/{providerId}"
CONTACTS = ACCOUNT + "/contacts"
EXPORTS = CONTACTS + "/export-jobs"
CONTACT = CONTACTS + "/{contactId}"
DOCUMENTS = CONTACT + "/documents"
DOCUMENT = DOCUMENTS + "/{externalId}"

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the contract."""

    name: str
    method: str
    path: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class Apis:
    """All handlers."""

    door: Door
    contacts: ContactsApi
    documents: DocumentsApi
    plain: PlainApi
    shares: SharesApi
    exports: ExportsApi


class Contract:
    """The table of operations, and an application that serves it."""

    def __init__(self, apis: Apis) -> None:
        self.operations = _operations(apis)
        paths: dict[str, dict[str, Operation]] = {}
        for one in self.operations:
            paths.setdefault(one.path, {})[one.method] = one
        self._routes = [(Route(path, _dispatch(found), methods=list(found)), found) for path, found in paths.items()]
        handlers = {HTTPException: _refuse}
        self.app = Starlette(routes=[route for route, _ in self._routes], exception_handlers=handlers)  # type: ignore[arg-type]

    def name_of(self, scope: Scope) -> str | None:
        """The operation that a request asks for."""
        for route, found in self._routes:
            if route.matches(scope)[0] is not Match.NONE:
                operation = found.get(scope["method"])
                return operation.name if operation else None
        return None


def _operations(apis: Apis) -> tuple[Operation, ...]:
    """The busiest first: routes are tried in order."""

    async def ping(_: Request) -> Response:
        return answer({"status": "ok"})

    async def secure_ping(request: Request) -> Response:
        account = apis.door.account(request)
        return account if isinstance(account, Response) else answer({"status": "ok"})

    return (
        Operation("put_document", "PUT", DOCUMENT, apis.documents.put),
        Operation("get_document", "GET", DOCUMENT, apis.documents.get),
        Operation("search_contacts", "POST", CONTACTS + "/search", apis.contacts.search),
        Operation("start_export", "POST", EXPORTS, apis.exports.start),
        Operation("get_contact", "GET", CONTACT, apis.contacts.get),
        Operation("replace_contact", "PUT", CONTACT, apis.contacts.replace),
        Operation("list_contacts", "GET", CONTACTS, apis.contacts.list),
        Operation("create_contact", "POST", CONTACTS, apis.contacts.create),
        Operation("list_documents", "GET", DOCUMENTS, apis.documents.list),
        Operation("create_document", "POST", DOCUMENTS, apis.plain.create),
        Operation("get_content", "GET", DOCUMENT + "/content", apis.documents.content),
        Operation("withdraw_document", "POST", DOCUMENT + "/withdraw", apis.documents.withdraw),
        Operation("update_document", "PUT", DOCUMENTS + "/by-id/{documentId}", apis.plain.replace),
        Operation("share_document", "POST", DOCUMENT + "/shares", apis.shares.create),
        Operation("end_share", "DELETE", DOCUMENT + "/shares/{shareId}", apis.shares.end),
        Operation("get_export", "GET", EXPORTS + "/{jobId}", apis.exports.get),
        Operation("delete_export", "DELETE", EXPORTS + "/{jobId}", apis.exports.delete),
        Operation("download_export", "GET", EXPORTS + "/{jobId}/download", apis.exports.download),
        Operation("ping", "GET", "/ping", ping),
        Operation("secure_ping", "GET", ACCOUNT + "/secure-ping", secure_ping),
    )


def _dispatch(found: dict[str, Operation]) -> Handler:
    handlers = {method: one.handler for method, one in found.items()}

    async def answer_one(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return answer_one


async def _refuse(_: Request, error: HTTPException) -> Response:
    """What no operation answers."""
    if error.status_code == 405:
        return problem("invalid-request", status=405, headers=error.headers)
    return problem("not-found")
