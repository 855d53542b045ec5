"""Patients on FHIR servers: found before they are made, never merged, names never in a URL."""

import asyncio
from typing import Any

import pytest

from services.carepatron_writer.platforms.fhir_r4.sandbox import FhirServer, Switches
from services.carepatron_writer.platforms.fhir_r4.sandbox.answers import Refused
from services.carepatron_writer.platforms.port import Candidate, Created, Drift, OutcomeUnknown, Parked, Unchanged, Updated
from shared.errors import Unavailable
from shared.outcomes import Reason
from tests.contract.fhir_grounds import a_client, once, open_fake
from tests.contract.writing_fakes import VERSION, a_card, a_key, an_upload

SYSTEM = "urn:healthrecords:patient-key"
THEIRS = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:example:mrn", "value": "7"}],
    "name": [{"family": "Lee", "given": ["Ann", "Mary"]}, {"use": "nickname", "family": "Lee", "given": ["Ann"]}],
    "telecom": [{"system": "email", "value": "ann@example.org"}],
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>The clinic wrote this</p></div>'},
}
CARD: dict[str, Any] = {"first_name": "Ann", "last_name": "Lee", "email": "Ann@Example.org", "phone": "+1 555 0100"}


def _put(server: FhirServer, **said: Any) -> str:
    body = {name: value for name, value in {**THEIRS, **said}.items() if value is not None}
    return str(server.store.put("Patient", body, server.switches)["id"])


def _link(other: str) -> list[dict[str, Any]]:
    return [{"other": {"reference": f"Patient/{other}"}, "type": "replaced-by"}]


def _upsert(server: FhirServer, card: Any, external_id: str | None = None, **said: Any) -> Any:
    return asyncio.run(open_fake(server).upsert_patient(card, external_id, **said))


def test_a_patient_of_the_clinics_own_is_linked_when_name_and_email_agree_and_only_gets_blanks_filled() -> None:
    server, key = FhirServer(), a_key()
    known = _put(server)

    answer = _upsert(server, a_card(key, **CARD))
    patient = server.rest.read("Patient", known)

    assert answer == Updated(known)
    assert patient["identifier"] == [*THEIRS["identifier"], {"system": SYSTEM, "value": key}]
    assert patient["name"] == THEIRS["name"]
    assert patient["telecom"] == [*THEIRS["telecom"], {"system": "phone", "value": "+1 555 0100"}]
    assert patient["birthDate"] == "1970-10-03"
    assert patient["text"] == THEIRS["text"]
    assert _upsert(server, a_card(key, **CARD)) == Unchanged(known)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"birthDate": "1999-01-01"}, (("name", "email"), ("birth_date",))),
        ({"telecom": None}, (("name",), ())),
        ({"telecom": None, "birthDate": "1970"}, (("name",), ())),
        ({"telecom": [{"system": "email", "value": "other@example.org"}], "birthDate": "1970-10-03"}, (("name", "birth_date"), ("email",))),
        ({"name": [{"family": "Other"}], "birthDate": "1970-10-03"}, (("birth_date", "email"), ("name",))),
    ],
)
@pytest.mark.parametrize("searches", [("name", "telecom"), ("family", "given", "email")])
def test_whoever_agrees_in_part_is_a_question_for_a_person(said: dict[str, Any], expected: Any, searches: tuple[str, ...]) -> None:
    server = FhirServer(Switches(patient_searches=("identifier", *searches)))
    known = _put(server, **said)

    answer = _upsert(server, a_card(**CARD))

    assert answer == Parked(Reason.POSSIBLE_DUPLICATE, candidates=(Candidate(known, *expected),))
    assert len(server.store.all("Patient")) == 1


def test_two_who_agree_fully_are_a_question_for_a_person() -> None:
    server = FhirServer()
    known = [_put(server) for _ in range(2)]

    assert [one.external_id for one in _upsert(server, a_card(**CARD)).candidates] == known


def test_a_person_may_say_that_it_is_nobody_known() -> None:
    server = FhirServer()
    known = _put(server, birthDate="1999-01-01")

    answer = _upsert(server, a_card(**CARD), is_new=True)

    assert isinstance(answer, Created)
    assert answer.external_id != known


def test_two_with_our_identifier_are_a_question_for_a_person() -> None:
    server, key = FhirServer(), a_key()
    known = [_put(server, identifier=[{"system": SYSTEM, "value": key}]) for _ in range(2)]

    assert [one.external_id for one in _upsert(server, a_card(key, **CARD)).candidates] == known
    assert asyncio.run(open_fake(server).find_patient(key)) is None


@pytest.mark.parametrize(
    "switches",
    [{}, {"conditional_create": False}, {"conditional_create": False, "conditional_update": False, "update_create": False}],
    ids=["If-None-Exist", "id of ours", "search"],
)
def test_somebody_who_makes_the_same_patient_meanwhile_is_found(switches: dict[str, Any]) -> None:
    server, key = FhirServer(Switches(**switches)), a_key()
    card = a_card(key, **CARD)

    async def run() -> Any:
        def make() -> None:
            server.store.put("Patient", {**THEIRS, "identifier": [{"system": SYSTEM, "value": key}]}, server.switches, known)

        known = key if "conditional_create" in switches and "update_create" not in switches else None
        writes = once(lambda one: one.method in ("POST", "PUT") and not one.url.path.endswith("_search"), make)
        return await open_fake(server, meddle=writes).upsert_patient(card, None)

    answer = asyncio.run(run())
    count = len(server.store.all("Patient"))

    if "update_create" in switches:  # nothing could keep the second one from being made
        assert (type(answer), answer.reason, len(answer.candidates), count) == (Parked, Reason.POSSIBLE_DUPLICATE, 2, 2)
    else:
        assert (type(answer) in (Updated, Unchanged), count) == (True, 1)


def test_a_replaced_patient_leads_to_the_one_who_stayed() -> None:
    server, key = FhirServer(), a_key()
    stayed = _put(server)
    gone = _put(server, identifier=[{"system": SYSTEM, "value": key}], link=_link(stayed), active=False)
    platform = open_fake(server)

    async def run() -> list[Any]:
        return [
            await platform.find_patient(key),
            (await platform.put_document(gone, an_upload())).reason,
            await platform.upsert_patient(a_card(key, **CARD), gone),
            await platform.find_patient(key),
        ]

    assert asyncio.run(run()) == [stayed, Reason.CONTACT_MERGED, Updated(stayed), stayed]


@pytest.mark.parametrize("target", ["itself", "nobody", "logical"])
def test_a_replacement_that_leads_nowhere_is_a_merged_contact(target: str) -> None:
    server, key = FhirServer(), a_key()
    known = _put(server, identifier=[{"system": SYSTEM, "value": key}])
    other = {"itself": known, "nobody": "9999"}.get(target)
    link = _link(other) if other else [{"other": {"identifier": {"value": "x"}}, "type": "replaced-by"}]
    server.store.put("Patient", {**THEIRS, "identifier": [{"system": SYSTEM, "value": key}], "link": link}, server.switches, known)

    answer = _upsert(server, a_card(key, **CARD), known)

    assert (answer.reason, asyncio.run(open_fake(server).find_patient(key))) == (Reason.CONTACT_MERGED, None)


def test_facts_of_each_record_stand_for_themselves_and_are_taken_off_alone() -> None:
    server, first, second = FhirServer(), a_key(), a_key()
    platform = open_fake(server)

    async def run() -> list[Any]:
        client = await a_client(
            platform, first, **CARD, medical_history=({"kind": "condition", "text": "Gout", "code": {"system": "urn:x", "code": "1"}},)
        )
        await platform.upsert_patient(a_card(second, **CARD, dietary_preferences=({"kind": "diet", "text": "Low salt <5 g>"},)), client)
        both = server.rest.read("Patient", client)
        detached = await platform.detach_patient(client, first)
        return [
            both,
            detached,
            await platform.detach_patient(client, first),
            server.rest.read("Patient", client),
            await platform.detach_patient("9999", first),
        ]

    both, detached, again, after, absent = asyncio.run(run())

    def facts(patient: Any) -> set[str]:
        records = [one for one in patient["extension"] if one["url"] == "urn:healthrecords:record"]
        return {
            part["valueString"]
            for one in records
            for fact in one["extension"]
            for part in fact.get("extension", [])
            if part["url"] == "text"
        }

    assert facts(both) == {"Gout", "Peanut", "Low salt <5 g>"}
    assert "diet: Low salt &lt;5 g>" in both["text"]["div"].replace("&gt;", ">")
    assert (type(detached), type(again), absent) == (Updated, Unchanged, Unchanged())
    assert facts(after) == {"Low salt <5 g>"}
    assert "Gout" not in after["text"]["div"]
    assert [one["value"] for one in after["identifier"]] == [second]
    assert after["name"] == both["name"]


def test_names_and_emails_stand_in_no_url() -> None:
    server = FhirServer(Switches(page=1, paging="type"))
    for _ in range(3):
        _put(server, name=[{"family": "Zwetschkenbaum", "given": ["Mirabella"]}], birthDate="1990-01-01", telecom=None)
    platform = open_fake(server)

    async def run() -> None:
        client = await a_client(
            platform, first_name="Mirabella", last_name="Zwetschkenbaum", email="marker@example.org", birth_date="1980-01-01"
        )
        await platform.put_document(client, an_upload(title="Zwetschkenbaum results"))
        await platform.list_documents(client)

    asyncio.run(run())
    urls = " ".join(f"{one.path}?{one.query}" for one in server.asked)

    assert b"Zwetschkenbaum" in b" ".join(one.body for one in server.asked)
    assert [word for word in ("Zwetschkenbaum", "Mirabella", "marker", "results") if word in urls] == []
    assert sum(one.path.endswith("/Patient/_search") for one in server.asked) == 4  # three pages of names, one of e-mails


def test_all_pages_of_a_search_count() -> None:
    server = FhirServer(Switches(page=2))
    for number in range(5):
        _put(server, birthDate=f"199{number}-01-01")

    assert len(_upsert(server, a_card(**CARD)).candidates) == 5


def test_a_patient_changed_by_somebody_else_is_read_again() -> None:
    server, key = FhirServer(), a_key()

    async def run() -> Any:
        client = await a_client(open_fake(server), key, **CARD)

        def change() -> None:
            stored = server.rest.read("Patient", client)
            server.store.put("Patient", {**stored, "gender": "female"}, server.switches, client)

        platform = open_fake(server, meddle=once(lambda one: one.method == "PUT", change))
        return await platform.upsert_patient(a_card(key, **{**CARD, "phone": "+1 555 0199"}), client)

    answer = asyncio.run(run())
    patient = server.rest.read("Patient", answer.external_id)

    assert isinstance(answer, Updated)
    assert (patient["gender"], patient["telecom"][0]["value"]) == ("female", "+1 555 0199")


def test_a_patient_who_keeps_changing_is_an_outage_and_no_write() -> None:
    server, key = FhirServer(), a_key()

    async def run() -> None:
        client = await a_client(open_fake(server), key, **CARD)

        def change() -> None:
            server.store.put("Patient", server.rest.read("Patient", client), server.switches, client)

        platform = open_fake(server, meddle=once(lambda one: one.method == "PUT", change, times=99))
        await platform.upsert_patient(a_card(key, **{**CARD, "phone": "+1 555 0199"}), client)

    with pytest.raises(Unavailable) as caught:
        asyncio.run(run())
    assert not isinstance(caught.value, OutcomeUnknown)


def test_a_lost_answer_to_a_new_patient_does_not_make_a_second_one() -> None:
    for switches in ({}, {"conditional_create": False, "conditional_update": False, "update_create": False}):
        server, key = FhirServer(Switches(**switches)), a_key()
        server.faults = ["lost"]
        with pytest.raises(OutcomeUnknown):
            _upsert(server, a_card(key, **CARD))

        assert isinstance(_upsert(server, a_card(key, **CARD)), Unchanged)
        assert len(server.store.all("Patient")) == 1


def test_a_probe_says_what_the_server_lacks_and_changes_nothing() -> None:
    server = FhirServer(Switches(conditional_create=False, conditional_update=False, update_create=False, versioning=False))

    assert asyncio.run(open_fake(FhirServer()).probe()) == ()
    assert asyncio.run(open_fake(FhirServer(Switches(patient_searches=("identifier",)))).probe()) == (
        Drift("rest.resource(Patient).searchParam", "name or family", "not offered"),
        Drift("rest.resource(Patient).searchParam", "email or telecom", "not offered"),
    )
    assert asyncio.run(open_fake(server).probe()) == (
        Drift("rest.resource(DocumentReference).versioning", "versioned", "no-version"),
        Drift("rest.resource(Patient).versioning", "versioned", "no-version"),
        Drift("rest.resource(DocumentReference).conditionalCreate", "true", "false"),
    )
    assert [one.method for one in server.asked] == ["GET", "GET"]


def test_a_probe_needs_to_search(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FhirServer()

    def refuse(kind: str, params: Any) -> Any:
        raise Refused(403)

    monkeypatch.setattr(server.rest, "search", refuse)

    assert asyncio.run(open_fake(server).probe()) == (Drift("operations.find_patients", "200 with a Bundle", "403"),)


def test_the_account_says_what_it_can_do() -> None:
    platform = open_fake(FhirServer())

    can = platform.capabilities()

    assert (can.write_documents, can.update_content, can.withdraw, can.share) == (True, True, True, False)
    assert platform.limits()["writes_per_second"] is None
    asyncio.run(platform.admit())


def test_a_withdrawal_reaches_an_archived_patient() -> None:
    server, upload = FhirServer(), an_upload()
    platform = open_fake(server)

    async def run() -> Any:
        client = await a_client(platform)
        await platform.put_document(client, upload)
        server.store.put("Patient", {**server.rest.read("Patient", client), "active": False}, server.switches, client)
        return [(await platform.put_document(client, upload)).reason, await platform.withdraw_document(client, upload.document_id, VERSION)]

    reason, answer = asyncio.run(run())

    assert (reason, type(answer)) == (Reason.CONTACT_ARCHIVED, Updated)
