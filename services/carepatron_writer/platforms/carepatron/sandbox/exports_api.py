"""Contact exports: a job that writes an account's contacts into a CSV file. The feature is reported, paths and JSON are modelled."""

import asyncio
import csv
import io
import uuid

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.door import Door
from services.carepatron_writer.platforms.carepatron.sandbox.idempotency import Idempotency, Once
from services.carepatron_writer.platforms.carepatron.sandbox.parsing import read_json
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Export, Records, digest_of
from services.carepatron_writer.platforms.carepatron.sandbox.refusals import read_or_refuse

COLUMNS = ("id", "isClient", "firstName", "lastName", "email", "phoneNumber", "dateOfBirth", "status", "createdAt", "updatedAt")


class ExportsApi:
    """The handlers. The file holds the contacts as they were when the job was asked for."""

    def __init__(self, records: Records, door: Door, idempotency: Idempotency) -> None:
        self._records = records
        self._door = door
        self._idempotency = idempotency

    async def start(self, request: Request) -> Response:
        """POST …/contacts/export-jobs"""
        account = self._door.account(request)
        if isinstance(account, Response):
            return account
        with self._idempotency.open(request, account, is_required=self._door.switches.requires_key) as once:
            return once if isinstance(once, Response) else await self._start(request, once)

    async def get(self, request: Request) -> Response:
        """GET …/contacts/export-jobs/{jobId}"""
        job = self._job(request)
        return job if isinstance(job, Response) else answer(job.as_json(self._door.clock.seconds(), _url_of(request)))

    async def download(self, request: Request) -> Response:
        """GET …/contacts/export-jobs/{jobId}/download"""
        job = self._job(request)
        if isinstance(job, Response):
            return job
        if job.status(self._door.clock.seconds()) != "completed":
            return problem("not-found", errors=[("/jobId", "has no file")])
        headers = {"Content-Disposition": f'attachment; filename="contacts-{job.id}.csv"', "X-Content-Type-Options": "nosniff"}
        return Response(self._records.journal.content(job.position, job.size), 200, headers, media_type="text/csv")

    async def delete(self, request: Request) -> Response:
        """DELETE …/contacts/export-jobs/{jobId}; also a running or an expired one."""
        job = self._job(request, may_be_expired=True)
        if isinstance(job, Response):
            return job
        self._records.record({"kind": "export-deleted", "id": job.id, "at": self._door.clock.text()})
        return Response(status_code=204)

    async def _start(self, request: Request, once: Once) -> Response:
        body = await read_or_refuse(read_json(request, may_be_empty=True))
        if isinstance(body, Response):
            return body
        payload = digest_of({"export": body})
        made = once.repeated(payload)
        if isinstance(made, Response):
            return made
        switches = self._door.switches
        if made is None:
            await asyncio.sleep(switches.processing_seconds)
            made, text = str(uuid.uuid4()), self._table(once.account)
            self._records.record(
                {"kind": "export", "id": made, "position": self._records.journal.keep(text), "size": len(text)}
                | {"queued_seconds": switches.export_queued_seconds, "running_seconds": switches.export_running_seconds}
                | {"life_seconds": switches.export_life_seconds, "fails": switches.export_fails, "at": self._door.clock.text()}
                | once.members(payload)
            )
        job = self._records.exports.get(made)
        if job is None:
            return problem("not-found", errors=[("/jobId", "no such job any more")])
        url = f"{_url_of(request)}/{job.id}"
        return answer(job.as_json(self._door.clock.seconds(), url), 202, {"Location": url})

    def _job(self, request: Request, *, may_be_expired: bool = False) -> Export | Response:
        account = self._door.account(request)
        if isinstance(account, Response):
            return account
        job = self._records.exports.get(request.path_params["jobId"])
        if job is None or job.account != account:
            return problem("not-found", errors=[("/jobId", "no such job")])
        if not may_be_expired and job.status(self._door.clock.seconds()) == "expired":
            return problem("export-expired")
        return job

    def _table(self, account: str) -> bytes:
        """All contacts but those merged away, as RFC 4180 has it."""
        text = io.StringIO()
        rows = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\r\n")
        rows.writeheader()
        for one in self._records.contacts.values():
            if one.account == account and one.status != "merged":
                rows.writerow(one.as_json() | {"isClient": "true" if one.body.get("isClient", True) else "false"})
        return text.getvalue().encode()


def _url_of(request: Request) -> str:
    return str(request.url.replace(query="", fragment=""))
