"""Nothing leaks: a marked patient's name, birth date, number and address stand in documents and at the platform, and nowhere else."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shared.kafka import read_range
from shared.topics import NORMALIZED, OUTCOMES, PUBLISHED, QUARANTINED, RECEIVED, TOPICS
from tests.corpus import Document, Person, corpus
from tests.e2e.stack import SERVICES, Stack

MARK = "Zqxmark"
BORN = "19370417"
MARKS = (MARK.lower(), BORN, "1937-04-17")


def marked() -> list[Document]:
    """Documents of every kind about one marked person, and refused ones that quote the marks in every place."""
    person = Person(7, f"{MARK}family", f"{MARK}given", BORN, "F", MARK)
    good = [Document(one.key, one.version, person, one.kind, about(one, person)) for one in corpus(16, patients=1, versions=2)]
    head = f"MSH|^~\\&|{MARK}|{MARK}|HR|HR|20261102||"
    bad = [
        b'{"resourceType":"Patient","name":[{"family":"' + MARK.encode() + b'"',
        f"<ClinicalDocument xmlns='urn:hl7-org:v3'><title>{MARK}</oops>".encode(),
        f"<!DOCTYPE a [<!ENTITY x '{MARK} {BORN}'>]><ClinicalDocument xmlns='urn:hl7-org:v3'>&x;</ClinicalDocument>".encode(),
        f"MSH|^~\\&|A|B||||{MARK}\rPID|1||{MARK}".encode(),
        f"{head}ORU^R01|{MARK}|P|2.5\rPID|1||{person.mrn}||{MARK}other^X||19990101|F\rOBR|1||{MARK}1|{MARK}^{MARK}\rOBX|1|NM|{MARK}||{MARK}".encode(),
        f"{head}ADT^A40|{MARK}2|P|2.5\rPID|1||{person.mrn}^^^CORPUS^MR\rMRG|{MARK}9^^^CORPUS^MR".encode(),
        f"{head}{MARK}^{MARK}|3|P|2.5\r{MARK[:3].upper()}|{MARK}\rPID|1\rPID|2||{MARK}".encode(),
        f'{{"resourceType":"{MARK}","id":"{MARK}","subject":{{"display":"{MARK}"}}}}'.encode(),
        f"%PDF-1.4 {MARK} {BORN} broken".encode(),
        f"A letter about {MARK}, born {BORN}.".encode(),
        b"\x00\xff\xfe" + MARK.encode() + b"\x00\x01",
        f"{{\\rtf1 {MARK} \\b".encode(),
    ]
    return good + [Document(f"bad-{number}", 1, person, "bad", content) for number, content in enumerate(bad)]


def about(one: Document, person: Person) -> bytes:
    """The same document about another person."""
    text = one.content.decode()
    known = one.person
    for old, new in ((known.family, person.family), (known.given, person.given), (known.mrn, person.mrn), (known.birth_date, BORN)):
        text = text.replace(old, new)
    birth = f"{known.birth_date[:4]}-{known.birth_date[4:6]}-{known.birth_date[6:]}"
    return text.replace(birth, "1937-04-17").replace("Lane", f"{MARK}Lane").encode()


@pytest.fixture(scope="module")
def stack(state_folder: Path) -> Iterator[Stack]:
    """A run with refusals, a lost answer, a kill and bad requests, finished."""
    with Stack(state_folder / "privacy") as running:
        documents = marked()
        running.sandbox("POST", "chaos", profile="lost-ack", rate=0.3)
        ids = running.publish(documents[: len(documents) // 2], provider="corpus")
        running.kill("writer")
        running.start("writer")
        ids += running.publish(documents[len(documents) // 2 :], provider="corpus")
        running.sandbox("POST", "chaos", profile="none", rate=0)
        running.settle(ids)
        running.settle_log()
        yield running


def leaks(text: str | bytes | None) -> list[str]:
    """The marks that stand in a text."""
    lower = (text if isinstance(text, bytes) else (text or "").encode()).lower()
    return [one for one in MARKS if one.encode() in lower]


def records(stack: Stack, topic: str) -> list[tuple[bytes | None, bytes, bytes]]:
    """Key, headers and value of every record of a topic."""

    async def read() -> list[tuple[bytes | None, bytes, bytes]]:
        return [(one.key, repr(one.headers).encode(), one.value or b"") async for one in read_range([stack.bootstrap], topic)]

    return asyncio.run(read())


def test_the_marks_can_be_found_where_they_belong(stack: Stack) -> None:
    for topic in (PUBLISHED, RECEIVED, NORMALIZED):
        assert any(leaks(value) for _, _, value in records(stack, topic.name)), topic.name
    assert leaks(httpx.get(stack.url("sandbox"), trust_env=False).text)


def test_no_key_or_header_holds_a_mark(stack: Stack) -> None:
    found = [
        (topic.name, key, headers)
        for topic in TOPICS
        if topic is not PUBLISHED  # the provider's own
        for key, headers, _ in records(stack, topic.name)
        if leaks(key) or leaks(headers)
    ]

    assert found == []


def test_no_outcome_or_quarantine_event_holds_a_mark(stack: Stack) -> None:
    values = [value for topic in (OUTCOMES, QUARANTINED) for _, _, value in records(stack, topic.name)]

    assert values
    assert [value for value in values if leaks(value)] == []


def test_no_row_of_the_audit_store_holds_a_mark(stack: Stack) -> None:
    for table in ("synchronization_log", "quarantined_documents", "sync_log_v1", "platform_links", "received_digests"):
        rows = stack.rows(f"SELECT t::text AS text FROM {table} t")
        assert rows, table
        assert [row["text"] for row in rows if leaks(row["text"])] == []


def test_no_log_file_holds_a_mark(stack: Stack) -> None:
    logs = sorted((stack.folder / "logs").iterdir())

    assert {f"{name}.log" for name in (*SERVICES, "kafka", "postgres", "sandbox")} <= {one.name for one in logs}
    assert [(one.name, line) for one in logs for line in one.read_bytes().splitlines() if leaks(line)] == []


def test_no_page_metric_or_answer_holds_a_mark(stack: Stack) -> None:
    addresses = [f"{stack.url(name)}{path}" for name in SERVICES for path in ("/livez", "/readyz", "/metrics")]
    addresses += [f"{stack.url('audit')}{path}" for path in ("/", "/api/v1/sync-logs?limit=200")]

    texts = {address: httpx.get(address, trust_env=False).text for address in addresses}

    assert {address: leaks(text) for address, text in texts.items() if leaks(text)} == {}


def test_no_error_of_the_http_door_repeats_a_mark(stack: Stack) -> None:
    door = f"{stack.url('ingest')}/v1/documents"
    answers = [
        httpx.post(door, content=b"", headers={"Provider-Id": "corpus"}, trust_env=False),
        httpx.post(door, content=MARK.encode(), headers={"Provider-Id": f"{MARK} {BORN}"}, trust_env=False),
        httpx.post(door, content=MARK.encode(), headers={"Provider-Id": "corpus", "Patient-Key": MARK}, trust_env=False),
        httpx.post(door, content=MARK.encode(), headers={"Provider-Id": "corpus", "Content-Type": MARK}, trust_env=False),
        httpx.get(f"{door}/{MARK}", trust_env=False),
        httpx.get(f"{stack.url('audit')}/api/v1/documents/{MARK}/timeline", trust_env=False),
        httpx.get(f"{stack.url('audit')}/api/v1/sync-logs", params={"patient": MARK}, trust_env=False),
    ]

    assert all(one.status_code < 500 for one in answers)
    assert [one.text for one in answers if one.status_code >= 400 and leaks(one.text)] == []
