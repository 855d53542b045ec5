"""The RESTful API over the store: read, search, create, update, their conditional forms. R4 http.html, with what the switches change."""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from services.carepatron_writer.platforms.fhir_r4.sandbox.answers import Answer, Refused
from services.carepatron_writer.platforms.fhir_r4.sandbox.rules import KINDS, first_fault
from services.carepatron_writer.platforms.fhir_r4.sandbox.searching import Params, UnknownParameter, matches
from services.carepatron_writer.platforms.fhir_r4.sandbox.store import Store, referenced
from services.carepatron_writer.platforms.fhir_r4.sandbox.switches import Switches

Json = dict[str, Any]
SIGNED = "https://files.example.org/signed"  # where a server that rewrites links says that content is


class Rest:
    """One server's resources. Raises Refused."""

    def __init__(self, store: Store, switches: Switches) -> None:
        self.store = store
        self.switches = switches

    def check(self, body: Any, kind: str) -> Json:
        """A resource that may be stored."""
        where = first_fault(body, kind)
        if where is not None:
            raise Refused(422, where=where, quoting=body)
        cap = self.switches.inline_cap_bytes
        for one in body.get("content", []) if kind == "DocumentReference" else []:
            attachment = one["attachment"]
            data = base64.b64decode(attachment.get("data", ""))
            if cap is not None and len(data) > cap:
                raise Refused(413, where="DocumentReference.content.attachment.data")
            if data and attachment.get("size", len(data)) != len(data):
                raise Refused(422, where="DocumentReference.content.attachment.size")
            digest = base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
            if data and attachment.get("hash", digest) != digest:
                raise Refused(422, where="DocumentReference.content.attachment.hash")
        found: Json = body
        return found

    def check_references(self, body: Json) -> None:
        """Literal references must lead somewhere."""
        for reference in referenced(body):
            kind, _, found_id = reference.partition("/")
            if kind in KINDS and self.store.newest(kind, found_id.partition("/")[0]) is None:
                raise Refused(400, where="reference", quoting=reference, code=self.switches.missing_reference_code)

    def read(self, kind: str, found_id: str) -> Json:
        """The newest version."""
        found = self.store.newest(kind, found_id)
        if found is None:
            raise Refused(404, quoting=found_id)
        return found

    def search(self, kind: str, params: Params) -> list[Json]:
        """All matches, before paging."""
        if kind == "DocumentReference":
            self.store.count_search(self.switches)
        try:
            return matches(kind, self.store.all(kind, is_lagging=self.switches.lagging_index), params, self.switches)
        except UnknownParameter as error:
            raise Refused(400, where=str(error)) from None

    async def create(self, kind: str, body: Json, criteria: str | None = None, gap: Callable[[], Awaitable[None]] | None = None) -> Answer:
        """POST, with If-None-Exist where the server knows it."""
        checked = self.check(body, kind)
        if criteria is not None and self.switches.conditional_create:
            found = self._matching(kind, criteria)
            if len(found) > 1:
                raise Refused(412, code="HAPI-0958")
            if found:
                return self._written(kind, found[0], 200)
        if self.switches.racy_create and gap is not None:
            await gap()
        self.check_references(checked)
        return self._kept(kind, checked)

    def update(self, kind: str, found_id: str, body: Json, if_match: str | None = None) -> Answer:
        """PUT [type]/[id], with If-Match."""
        if kind == "DocumentReference" and not self.switches.updates:
            raise Refused(405)
        checked = self.check(body, kind)
        if checked.get("id") != found_id:
            raise Refused(400, where=f"{kind}.id")
        stored = self.store.newest(kind, found_id)
        if stored is None and (not self.switches.update_create or found_id.isdigit()):
            raise Refused(405 if self.switches.update_create else 404, where=f"{kind}.id")
        if if_match is not None and self.switches.versioning and (stored is None or if_match != etag_of(stored)):
            raise Refused(self.switches.stale_status, code="HAPI-0989")
        self.check_references(checked)
        return self._kept(kind, checked, found_id)

    def update_matching(self, kind: str, criteria: str, body: Json) -> Answer:
        """PUT [type]?criteria. If-Match is ignored here, as seen on a real server."""
        if not self.switches.conditional_update:
            raise Refused(405)
        checked = self.check(body, kind)
        found = self._matching(kind, criteria)
        if len(found) > 1:
            raise Refused(412, code="HAPI-0958")
        self.check_references(checked)
        return self._kept(kind, {**checked, **({"id": found[0]["id"]} if found else {})}, found[0]["id"] if found else None)

    def shown(self, resource: Json) -> Json:
        """A resource as this server gives it out."""
        if not self.switches.rewrites_urls or resource.get("resourceType") != "DocumentReference":
            return resource
        contents = []
        for one in resource.get("content", []):
            attachment = dict(one["attachment"])
            if str(attachment.get("url", "")).startswith("Binary/"):
                attachment["url"] = f"{SIGNED}/{hashlib.sha256(attachment['url'].encode()).hexdigest()}?Expires=3600"
            contents.append({**one, "attachment": attachment})
        return {**resource, "content": contents}

    def _matching(self, kind: str, criteria: str) -> list[Json]:
        return matches(kind, self.store.all(kind), parse_qsl(criteria), self.switches)

    def _kept(self, kind: str, body: Json, found_id: str | None = None) -> Answer:
        if kind == "DocumentReference" and self.switches.mediated_searches is not None:
            self.store.pending.append((body, found_id, self.switches.mediated_searches))
            return Answer(202)
        is_new = found_id is None or self.store.newest(kind, found_id) is None
        return self._written(kind, self.store.put(kind, body, self.switches, found_id), 201 if is_new else 200)

    def _written(self, kind: str, resource: Json, status: int) -> Answer:
        version = resource["meta"].get("versionId")
        location = f"{kind}/{resource['id']}" + (f"/_history/{version}" if version else "")
        headers = {"Location": location, **({"ETag": etag_of(resource)} if version else {})}
        return Answer(status, resource, headers)


def etag_of(resource: Json) -> str:
    """The weak entity tag of a version."""
    return f'W/"{resource["meta"].get("versionId")}"'
