"""Documents on FHIR servers: content inline and in Binaries, versions that replace each other, withdrawal, IHE MHD."""

import asyncio
import base64
import hashlib
from dataclasses import replace
from typing import Any

import orjson
import pytest

from services.carepatron_writer.platforms.fhir_r4.resources import binary_id
from services.carepatron_writer.platforms.fhir_r4.sandbox import FhirServer, Switches
from services.carepatron_writer.platforms.port import Created, Parked, Rejected, Stale, StoredDocument, Unchanged, Updated
from shared.identity import digest
from shared.outcomes import Reason
from tests.contract.fhir_grounds import a_client, documents, is_put, once, open_fake, version_in
from tests.contract.writing_fakes import NEWER, OLDER, VERSION, a_key, an_upload

MIB = 1 << 20


def _attachment(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["content"][0]["attachment"]
    return found


def _transactions(server: FhirServer) -> list[dict[str, Any]]:
    return [orjson.loads(one.body) for one in server.asked if one.method == "POST" and one.path == "/fhir"]


@pytest.mark.parametrize("size", [5 * MIB, 5 * MIB + 1], ids=["5 MiB", "more"])
def test_content_is_inline_up_to_the_limit_and_in_a_binary_beyond(size: int) -> None:
    server = FhirServer(Switches(inline_cap_bytes=5 * MIB))
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    upload = an_upload(content=content, media_type="application/pdf")

    async def run() -> tuple[Any, Any]:
        platform = open_fake(server)
        client = await a_client(platform)
        return await platform.put_document(client, upload), await platform.read_back(client, upload.document_id)

    answer, read = asyncio.run(run())
    [document] = documents(server)
    attachment = _attachment(document)

    assert isinstance(answer, Created)
    assert (read.sha256, read.size, read.version) == (digest(content), size, VERSION)
    assert ("data" in attachment, "url" in attachment) == (size == 5 * MIB, size > 5 * MIB)
    assert attachment["size"] == size
    assert base64.b64decode(attachment["hash"]).hex() == hashlib.sha1(content).hexdigest()
    assert len(_transactions(server)) == (0 if size == 5 * MIB else 1)


@pytest.mark.parametrize(("transactions", "writes"), [(True, ["/fhir"]), (False, ["/fhir/Binary/", "/fhir/DocumentReference"])])
def test_a_413_sends_the_content_in_a_binary(transactions: bool, writes: list[str]) -> None:
    server, upload = FhirServer(Switches(inline_cap_bytes=10, transactions=transactions)), an_upload(content=b"more than ten bytes")

    async def run() -> tuple[Any, Any]:
        platform = open_fake(server)
        client = await a_client(platform)
        server.asked.clear()
        return await platform.put_document(client, upload), await platform.read_back(client, upload.document_id)

    answer, read = asyncio.run(run())
    asked = [one.path for one in server.asked if one.method in ("POST", "PUT")]

    assert isinstance(answer, Created)
    assert read.sha256 == upload.sha256
    assert asked[0] == "/fhir/DocumentReference"
    assert [one[: len(path)] for one, path in zip(asked[1:], writes, strict=True)] == writes


@pytest.mark.parametrize("transactions", [True, False])
@pytest.mark.parametrize("update_create", [True, False])
def test_a_binary_has_an_id_of_ours_where_the_server_takes_one(transactions: bool, update_create: bool) -> None:
    server, upload = FhirServer(Switches(transactions=transactions, update_create=update_create)), an_upload()

    async def run() -> None:
        platform = open_fake(server, inline_max_bytes=0)
        await platform.put_document(await a_client(platform), upload)

    asyncio.run(run())
    [binary] = server.store.all("Binary")

    assert (binary["id"] == binary_id(upload)) == update_create


def test_what_a_search_finds_besides_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FhirServer()
    uploads = [an_upload() for _ in range(3)]

    async def run() -> list[Any]:
        platform = open_fake(server)
        client = await a_client(platform)
        monkeypatch.setattr(server.rest, "search", lambda kind, _: server.store.all(kind))  # a server that does not know `identifier`
        return [type(await platform.put_document(client, one)) for one in (*uploads, *uploads)]

    assert asyncio.run(run()) == [Created] * 3 + [Unchanged] * 3


def test_content_that_fits_nowhere_is_refused() -> None:
    server, upload = FhirServer(Switches(inline_cap_bytes=10)), an_upload(content=b"more than ten bytes")

    async def run() -> Any:
        platform = open_fake(server, submission="iti_105")  # knows inline content only
        return await platform.put_document(await a_client(platform), upload)

    assert asyncio.run(run()) == Rejected(Reason.CONTENT_TOO_LARGE, "content")


@pytest.mark.parametrize("upload", [an_upload(media_type="text/rtf"), an_upload(content=b"x" * 52_428_801)], ids=["type", "size"])
def test_what_no_server_takes_is_not_tried(upload: Any) -> None:
    server = FhirServer()

    async def run() -> Any:
        platform = open_fake(server)
        client = await a_client(platform)
        server.asked.clear()
        return await platform.put_document(client, upload)

    assert isinstance(asyncio.run(run()), Rejected)
    assert server.asked == []


def test_links_that_a_server_signs_are_never_compared_nor_sent_back() -> None:
    server, upload = FhirServer(Switches(rewrites_urls=True)), an_upload()

    async def run() -> list[Any]:
        platform = open_fake(server, inline_max_bytes=0)
        client = await a_client(platform)
        first = await platform.put_document(client, upload)
        again = await platform.put_document(client, upload)
        read = await platform.read_back(client, upload.document_id)
        successor = an_upload(a_key(), supersedes=upload.document_id)
        return [
            first,
            again,
            read,
            await platform.put_document(client, successor),
            await platform.withdraw_document(client, upload.document_id, VERSION),
        ]

    first, again, read, successor, withdrawn = asyncio.run(run())
    old = server.rest.read("DocumentReference", first.external_id)

    assert again == Unchanged(first.external_id)
    assert read.sha256 == upload.sha256
    assert (type(successor), type(withdrawn)) == (Created, Updated)
    assert [one["meta"].get("versionId") for one in server.store.held["DocumentReference"][first.external_id]] == ["1", "2", "3"]
    assert _attachment(old)["url"].startswith("Binary/")


def test_a_new_version_changes_its_document_in_place() -> None:
    server, upload = FhirServer(), an_upload()

    async def run() -> Any:
        platform = open_fake(server)
        client = await a_client(platform)
        await platform.put_document(client, upload)
        answer = await platform.put_document(client, an_upload(upload.document_id, NEWER, b"more\n", title="Other"))
        return answer, await platform.list_documents(client)

    answer, listed = asyncio.run(run())
    [document] = documents(server)
    first, _ = server.store.held["DocumentReference"][document["id"]]

    assert answer == Updated(document["id"])
    assert listed == [StoredDocument(document["id"], NEWER, 2, False, False, upload.document_id, digest(b"more\n"))]
    assert (document["identifier"], document["date"]) == (first["identifier"], first["date"])  # when the reference was first made
    assert document["masterIdentifier"] != first["masterIdentifier"]
    assert "relatesTo" not in document


@pytest.mark.parametrize("keeps_relations", [True, False])
@pytest.mark.parametrize("settings", [{"supersede": "new_document"}, {"submission": "iti_65"}, {"submission": "iti_105"}])
def test_a_new_version_may_be_a_document_that_replaces_the_last(settings: dict[str, Any], keeps_relations: bool) -> None:
    server, document_id = FhirServer(Switches(keeps_relations=keeps_relations)), a_key()

    async def run() -> list[Any]:
        platform = open_fake(server, **settings)
        client = await a_client(platform)
        answers = [await platform.put_document(client, an_upload(document_id, one)) for one in (OLDER, VERSION, VERSION, NEWER)]
        return [
            *answers,
            await platform.list_documents(client),
            await platform.find_document(client, document_id, an_upload(document_id, NEWER)),
        ]

    first, second, again, third, listed, found = asyncio.run(run())
    shown = [(one["id"], version_in(one), one["status"]) for one in documents(server)]

    assert [type(one) for one in (first, second, again, third)] == [Created, Updated, Unchanged, Updated]
    assert shown == [
        (first.external_id, OLDER, "superseded"),
        (second.external_id, VERSION, "superseded"),
        (third.external_id, NEWER, "current"),
    ]
    assert [(one.external_id, one.version, one.version_count) for one in listed] == [(third.external_id, NEWER, 3)]
    assert found.is_same
    relations = [[one["target"]["reference"] for one in document.get("relatesTo", [])] for document in documents(server)]
    assert relations == (
        [[], [f"DocumentReference/{first.external_id}"], [f"DocumentReference/{second.external_id}"]] if keeps_relations else [[]] * 3
    )


def test_a_crash_between_the_new_document_and_the_old_one_is_made_good() -> None:
    server, document_id = FhirServer(), a_key()

    async def run() -> list[Any]:
        platform = open_fake(server, supersede="new_document")
        client = await a_client(platform)
        await platform.put_document(client, an_upload(document_id, VERSION))
        server.faults = ["", "down"]
        with pytest.raises(Exception, match="503"):
            await platform.put_document(client, an_upload(document_id, NEWER))
        before = [one["status"] for one in documents(server)]
        return [before, await platform.put_document(client, an_upload(document_id, NEWER)), [one["status"] for one in documents(server)]]

    before, answer, after = asyncio.run(run())

    assert before == ["current", "current"]
    assert isinstance(answer, Unchanged)
    assert after == ["superseded", "current"]


def test_of_two_versions_made_at_once_the_newer_is_shown() -> None:
    server, document_id = FhirServer(Switches(racy_create=True)), a_key()

    async def run() -> list[Any]:
        first, second = (open_fake(server, supersede="new_document") for _ in range(2))
        client = await a_client(first)
        barrier = asyncio.Barrier(2)

        async def meet() -> None:
            await barrier.wait()

        server.gap = meet
        await asyncio.gather(
            first.put_document(client, an_upload(document_id, NEWER)), second.put_document(client, an_upload(document_id, VERSION))
        )
        return [await first.find_document(client, document_id, None), await first.put_document(client, an_upload(document_id, NEWER))]

    found, again = asyncio.run(run())

    assert (found.version, type(again)) == (NEWER, Unchanged)
    assert sorted((version_in(one), one["status"]) for one in documents(server)) == [(VERSION, "superseded"), (NEWER, "current")]


def test_a_newer_version_made_just_before_ours_is_the_one_that_is_shown() -> None:
    server, document_id = FhirServer(), a_key()

    async def run() -> Any:
        client = await a_client(open_fake(server))
        await open_fake(server, supersede="new_document").put_document(client, an_upload(document_id, NEWER))
        [newer] = documents(server)
        server.store.remove("DocumentReference", newer["id"])
        meddle = once(lambda one: one.method == "POST", lambda: server.store.put("DocumentReference", newer, server.switches, newer["id"]))
        return await open_fake(server, meddle=meddle, supersede="new_document").put_document(client, an_upload(document_id, VERSION))

    assert asyncio.run(run()) == Stale()
    assert sorted((version_in(one), one["status"]) for one in documents(server)) == [(VERSION, "superseded"), (NEWER, "current")]


@pytest.mark.parametrize("settings", [{}, {"supersede": "new_document"}, {"submission": "iti_65"}, {"inline_max_bytes": 0}])
def test_a_document_that_replaces_another_says_so_and_puts_it_aside(settings: dict[str, Any]) -> None:
    server, old = FhirServer(), an_upload()
    new = an_upload(supersedes=old.document_id)

    async def run() -> list[Any]:
        platform = open_fake(server, **settings)
        client = await a_client(platform)
        first = await platform.put_document(client, old)
        await platform.put_document(client, new)
        return [
            first,
            await platform.find_document(client, old.document_id, old),
            await platform.put_document(client, new),
            await platform.put_document(client, old),
        ]

    first, stored, again, old_again = asyncio.run(run())
    [relation] = documents(server)[1]["relatesTo"]

    assert (relation["code"], relation["target"]["reference"]) == ("replaces", f"DocumentReference/{first.external_id}")
    assert relation["target"]["identifier"]["value"] == old.document_id
    assert documents(server)[0]["status"] == "superseded"
    assert stored.is_same  # its facts are still its own
    assert (type(again), type(old_again)) == (Unchanged, Unchanged)


def test_a_document_that_says_it_replaces_itself_stays() -> None:
    server, document_id = FhirServer(), a_key()

    async def run() -> list[Any]:
        platform = open_fake(server)
        client = await a_client(platform)
        return [
            type(await platform.put_document(client, an_upload(document_id, one, supersedes=document_id)))
            for one in (VERSION, NEWER, NEWER)
        ]

    assert asyncio.run(run()) == [Created, Updated, Unchanged]
    assert [one["status"] for one in documents(server)] == ["current"]


def test_what_a_document_replaces_may_not_be_there() -> None:
    server, new = FhirServer(), an_upload(supersedes=a_key())

    async def run() -> Any:
        platform = open_fake(server)
        return await platform.put_document(await a_client(platform), new)

    assert isinstance(asyncio.run(run()), Created)
    assert documents(server)[0]["relatesTo"][0]["target"] == {
        "identifier": {"system": "urn:healthrecords:document-id", "value": new.supersedes}
    }


@pytest.mark.parametrize("settings", [{}, {"inline_max_bytes": 0}], ids=["inline", "Binary"])
def test_a_withdrawn_document_keeps_its_identity_and_not_its_content(settings: dict[str, Any]) -> None:
    server, upload = FhirServer(), an_upload()

    async def run() -> list[Any]:
        platform = open_fake(server, **settings)
        client = await a_client(platform)
        await platform.put_document(client, upload)
        return [await platform.withdraw_document(client, upload.document_id, VERSION), await platform.read_back(client, upload.document_id)]

    answer, read = asyncio.run(run())
    [document] = documents(server)
    history = server.store.held["DocumentReference"][document["id"]]

    assert answer == Updated(document["id"])
    assert (read.is_withdrawn, read.size) == (True, len(upload.content) if settings else 0)
    assert document["status"] == "entered-in-error"
    assert sorted(document) == [
        "category",
        "content",
        "date",
        "extension",
        "id",
        "identifier",
        "masterIdentifier",
        "meta",
        "resourceType",
        "status",
        "subject",
        "type",
    ]
    assert "data" not in _attachment(document)
    assert [one["status"] for one in history] == ["current", "entered-in-error"]
    assert [one.headers.get("if-match") for one in server.asked if one.method == "PUT" and "/DocumentReference/" in one.path] == ['W/"1"']


def test_withdrawing_takes_back_every_version_that_is_shown() -> None:
    server, document_id = FhirServer(), a_key()

    async def run() -> list[Any]:
        platform = open_fake(server, supersede="new_document")
        client = await a_client(platform)
        for version in (VERSION, NEWER):
            await platform.put_document(client, an_upload(document_id, version))
        answers = [await platform.withdraw_document(client, document_id, one) for one in (VERSION, NEWER, NEWER)]
        return [type(one).__name__ for one in answers]

    assert asyncio.run(run()) == ["Stale", "Updated", "Unchanged"]
    assert [one["status"] for one in documents(server)] == ["entered-in-error"] * 2
    assert [version_in(one) for one in documents(server)] == [VERSION, NEWER]


def test_a_later_withdrawal_of_what_is_withdrawn_holds_against_versions_in_between() -> None:
    server, upload = FhirServer(), an_upload(version=OLDER)

    async def run() -> list[Any]:
        platform = open_fake(server)
        client = await a_client(platform)
        await platform.put_document(client, upload)
        answers = [await platform.withdraw_document(client, upload.document_id, one) for one in (OLDER, NEWER)]
        return [*answers, await platform.put_document(client, replace(upload, version=VERSION))]

    assert [type(one).__name__ for one in asyncio.run(run())] == ["Updated", "Updated", "Stale"]


def test_a_later_version_brings_a_withdrawn_document_back() -> None:
    server, upload = FhirServer(), an_upload()

    async def run() -> Any:
        platform = open_fake(server)
        client = await a_client(platform)
        await platform.put_document(client, upload)
        await platform.withdraw_document(client, upload.document_id, VERSION)
        return [await platform.put_document(client, replace(upload, version=one)) for one in (VERSION, NEWER)]

    assert [type(one).__name__ for one in asyncio.run(run())] == ["Conflict", "Updated"]
    assert documents(server)[0]["status"] == "current"


@pytest.mark.parametrize("settings", [{}, {"supersede": "new_document"}, {"submission": "iti_65"}, {"submission": "iti_105"}])
def test_a_document_taken_off_the_wrong_patient_comes_to_the_right_one(settings: dict[str, Any]) -> None:
    server, upload = FhirServer(), an_upload()

    async def run() -> list[Any]:
        platform = open_fake(server, **settings)
        wrong, right = await a_client(platform), await a_client(platform)
        await platform.put_document(wrong, upload)
        await platform.withdraw_document(wrong, upload.document_id, VERSION)
        answer = await platform.put_document(right, upload)
        return [
            answer,
            await platform.find_document(wrong, upload.document_id, upload),
            await platform.find_document(right, upload.document_id, upload),
        ]

    answer, at_wrong, at_right = asyncio.run(run())

    assert isinstance(answer, Updated)
    assert at_wrong is None
    assert (at_right.is_same, at_right.is_withdrawn) == (True, False)


def test_only_documents_of_ours_are_listed() -> None:
    server = FhirServer(Switches(page=2))
    uploads = [an_upload() for _ in range(5)]

    async def run() -> Any:
        platform = open_fake(server)
        client, other = await a_client(platform), await a_client(platform)
        for one in uploads:
            await platform.put_document(client, one)
        await platform.put_document(other, an_upload())
        theirs = {"resourceType": "DocumentReference", "status": "current", "subject": {"reference": f"Patient/{client}"}}
        server.store.put("DocumentReference", {**theirs, "identifier": [{"system": "urn:example", "value": "1"}]}, server.switches)
        return await platform.list_documents(client)

    assert sorted(one.document_id for one in asyncio.run(run())) == sorted(one.document_id for one in uploads)


@pytest.mark.parametrize("binary_as_resource", [True, False])
def test_bytes_that_the_server_has_spoilt_are_read_back_as_they_are(binary_as_resource: bool) -> None:
    server, upload = FhirServer(Switches(binary_as_resource=binary_as_resource)), an_upload()

    async def run() -> list[Any]:
        platform = open_fake(server, inline_max_bytes=0)
        client = await a_client(platform)
        await platform.put_document(client, upload)
        [binary] = server.store.all("Binary")
        binary["data"] = base64.b64encode(b"spoilt").decode()
        spoilt = await platform.read_back(client, upload.document_id)
        server.store.remove("Binary", binary["id"])
        return [spoilt, await platform.read_back(client, upload.document_id), await platform.read_back(client, a_key())]

    spoilt, gone, unknown = asyncio.run(run())

    assert spoilt.sha256 == digest(b"spoilt")
    assert (gone, unknown) == (None, None)


def test_an_mhd_submission_is_one_transaction_in_the_order_of_the_profile() -> None:
    server, upload = FhirServer(), an_upload()

    async def run() -> None:
        platform = open_fake(server, submission="iti_65", source_oid="urn:oid:1.2.3")
        client = await a_client(platform)
        for version in (VERSION, NEWER):
            await platform.put_document(client, replace(upload, version=version))

    asyncio.run(run())
    first, second = _transactions(server)
    listed, document, binary, old = (one["resource"] for one in second["entry"])

    assert first["meta"]["profile"] == ["https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD.Minimal.ProvideBundle"]
    assert [one["resource"]["resourceType"] for one in first["entry"]] == ["List", "DocumentReference", "Binary"]
    assert [(one["request"]["method"], one["resource"]["resourceType"]) for one in second["entry"]] == [
        ("POST", "List"), ("POST", "DocumentReference"), ("POST", "Binary"), ("PUT", "DocumentReference"),
    ]  # fmt: skip
    assert listed["entry"] == [{"item": {"reference": second["entry"][1]["fullUrl"]}}]
    assert len(listed["identifier"]) == 2
    assert listed["extension"][0]["valueIdentifier"] == {"value": "urn:oid:1.2.3"}
    assert "docStatus" not in document
    assert _attachment(document)["url"] == second["entry"][2]["fullUrl"]
    assert binary["data"] == base64.b64encode(upload.content).decode()
    assert (old["status"], second["entry"][3]["request"]["ifMatch"]) == ("superseded", 'W/"1"')


def test_a_simplified_submission_is_one_post_with_everything_inside() -> None:
    server = FhirServer()

    async def run() -> None:
        platform = open_fake(server, submission="iti_105", inline_max_bytes=0)
        await platform.put_document(await a_client(platform), an_upload(status="preliminary"))

    asyncio.run(run())
    [body] = [orjson.loads(one.body) for one in server.asked if one.method == "POST" and one.path.endswith("/DocumentReference")]

    assert ("docStatus" in body, body["status"], "data" in _attachment(body), "url" in _attachment(body)) == (False, "current", True, False)
    assert body["masterIdentifier"]["value"].startswith("urn:uuid:")


@pytest.mark.parametrize("settings", [{}, {"submission": "iti_65"}, {"submission": "iti_105"}])
def test_what_is_superseded_already_is_shown_as_such(settings: dict[str, Any]) -> None:
    server, upload = FhirServer(), an_upload(status="superseded")

    async def run() -> list[Any]:
        platform = open_fake(server, **settings)
        client = await a_client(platform)
        return [type(await platform.put_document(client, upload)) for _ in range(2)]

    assert asyncio.run(run()) == [Created, Unchanged]
    assert [one["status"] for one in documents(server)] == ["superseded"]


def test_a_server_where_nothing_can_be_changed_still_takes_new_versions() -> None:
    server, upload = FhirServer(Switches(updates=False)), an_upload()

    async def run() -> list[Any]:
        in_place, anew = open_fake(server), open_fake(server, supersede="new_document")
        client = await a_client(in_place)
        await in_place.put_document(client, upload)
        newer = replace(upload, version=NEWER)
        return [
            await in_place.put_document(client, newer),
            await anew.put_document(client, newer),
            await anew.put_document(client, newer),
            await anew.withdraw_document(client, upload.document_id, NEWER),
            await in_place.probe(),
        ]

    refused, taken, again, by_hand, [drift] = asyncio.run(run())

    assert refused == Rejected(Reason.PLATFORM_REJECTED, "DocumentReference.update")
    assert (type(taken), taken.warnings) == (Updated, ("earlier_not_superseded",))
    assert (type(again), again.warnings) == (Unchanged, ("earlier_not_superseded",))
    assert by_hand == Parked(Reason.WITHDRAWAL_BY_HAND, "DocumentReference.update")
    assert (drift.where, drift.expected) == ("rest.resource(DocumentReference).interaction", "update")


def test_a_document_that_goes_while_it_is_changed_is_made_again() -> None:
    for switches in ({}, {"update_create": False}):
        server, upload = FhirServer(Switches(**switches)), an_upload()

        async def run(server: FhirServer = server, upload: Any = upload) -> Any:
            platform = open_fake(server)
            client = await a_client(platform)
            made = await platform.put_document(client, upload)
            meddle = once(is_put, lambda: server.store.remove("DocumentReference", made.external_id))
            return await open_fake(server, meddle=meddle).put_document(client, replace(upload, version=NEWER))

        assert isinstance(asyncio.run(run()), Created)
        assert [version_in(one) for one in documents(server)] == [NEWER]
