"""Hostile records first, in the middle and last between good ones: the good ones arrive, each hostile one ends with a reason, nothing restarts."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.delivery import Producer
from shared.delivery.producer import MAX_REQUEST_BYTES
from shared.events import EventType, new_event, write_headers
from shared.outcomes import PLAYBOOK
from shared.topics import PUBLISHED
from tests.corpus import corpus
from tests.e2e.stack import SERVICES, Stack
from tests.hostile import inputs

Item = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]  # key, value, headers
GOOD = 24
MEGA = inputs.MEGA
LARGEST = MAX_REQUEST_BYTES - (64 << 10)  # with room for headers


def named(*wanted: str) -> list[bytes]:
    """Inputs by group and name."""
    return [make() for one in wanted for group, _, name in [one.partition("/")] for case, make in inputs.GROUPS[group]() if case == name]


def refused() -> list[Item]:
    """What must end with a reason."""
    contents = [
        *named("empty/empty-2", "empty/empty-4", "archives/gzip-bomb", "archives/zip-slip"),
        *named("xml/billion-laughs", "xml/xxe-file", "xml/doctype-alone", "xml/nesting-300k", "xml/attributes-100k", "xml/namespaces-100k"),
        *named("json/depth-100k", "json/plain-depth-100k", "json/nan-as-value", "charsets/fhir-surrogate"),
        *named("references/wrong-resource-type", "hl7/segments-1e6", "hl7/type-empty", "hl7/two-patients", "hl7/merge-with-itself"),
        *named("files/pdf-cut", "files/png-garbage", "files/executable", "files/rtf-nesting", "charsets/rtf-impossible-number"),
    ]
    return [
        *((b"hostile", content[:LARGEST], []) for content in contents),
        (None, b"", []),
        (b"k", None, []),
        (None, None, [("reply_to", b"evil")]),
        (b"\xff\xfe", b"{", [("content-type", b"application/cloudevents+json")]),
        (b"k", b'{"specversion":"1.0","data_base64":"%%%"}', [("content-type", b"application/cloudevents+json")]),
        (b"k", b"", [("ce_contentref", b"sha256:../../../../etc/passwd")]),
        (b"k", b"", [("ce_contentref", b"http://169.254.169.254/latest/meta-data/")]),
        (b"k", b"\x00\xff\x00", [("content-type", None), ("ce_id", b"\xff\xfe"), ("ce_id", b"x"), ("", b"")]),
    ]


def odd() -> list[Item]:
    """What is strange, and filed or refused; never a defect of ours."""
    report = inputs.report(number="odd-1")
    contents = [
        *named("hl7/field-of-10-MiB", "hl7/repetitions-1e5", "hl7/groups-1e4-of-one-filler", "hl7/identifiers-1e5", "hl7/escape-\\X4"),
        *named(
            "references/bundle-in-itself",
            "references/contained-in-a-ring",
            "references/member-of-itself",
            "references/reference-to-file:///etc/",
        ),
        *named("references/reference-to-http://169.2", "json/proto", "json/integer-of-4000-digits-as-value", "json/1e999-as-value"),
        *named(
            "charsets/hl7-nul",
            "charsets/fhir-escaped-nul",
            "charsets/fhir-escaped-surrogate",
            "charsets/hl7-escaped-nul",
            "charsets/rtf-surrogate",
        ),
        *named(
            "dates/fhir-0001-01-01T00:00:00+14:0", "dates/fhir-2026-02-30", "dates/fhir-0000-01-01", "dates/hl7-9999-12-31T23:59:59-12:0"
        ),
        *(make() for name, make in inputs.strings() if name.split("-")[0] in ("hl7", "fhir", "ccda")),
        *(make() for name, make in inputs.versions() if name.startswith("fhir-number")),
    ]
    return [
        *((f"odd-{number % 7}".encode(), content[:LARGEST], []) for number, content in enumerate(contents)),
        (b"k", report, [("reply_to", b"evil"), ("x-large", b"h" * MEGA), ("ce_subject", b"\xff"), ("correlation_id", None)]),
        (
            None,
            inputs.report(number="odd-2"),
            [("ce_id", b"\x00"), ("ce_type", b"forged"), ("ce_documentid", b"DROP TABLE"), ("ce_clinicid", b"x")],
        ),
        (b"", inputs.report(number="odd-3"), [("ce_correlationid", b"c" * MEGA), ("ce_time", b"9999-99-99"), ("traceparent", b"\r\n")]),
        (b"k" * 100_000, inputs.report(number="odd-4"), [("ce_replayid", b"x"), ("ce_origin", b"a/b/c"), ("ce_syncaction", b"explode")]),
    ]


@pytest.fixture(scope="module")
def stack(state_folder: Path) -> Iterator[Stack]:
    """A system."""
    with Stack(state_folder / "hostile") as running:
        yield running


async def send(bootstrap: str, items: list[Item]) -> list[str]:
    """Publish records as they are; their places."""
    producer = Producer([bootstrap], name="hostile")
    await producer.start()
    try:
        return [(await producer.send_all([(PUBLISHED.name, key, value, headers)]))[0] for key, value, headers in items]  # type: ignore[list-item]
    finally:
        await producer.stop()


def outcomes(stack: Stack, place: str) -> list[dict[str, Any]]:
    """The rows of a published record and of all that followed from it."""
    topic, partition, offset = place.rsplit("/", 2)
    rows = stack.rows(
        'SELECT * FROM synchronization_log WHERE topic = $1 AND partition = $2 AND "offset" = $3', topic, int(partition), int(offset)
    )
    return [*rows, *(found for row in rows for one in row["passed_on"] for found in outcomes(stack, one))]


def test_hostile_records_between_good_ones(stack: Stack) -> None:
    documents = list(corpus(GOOD, patients=6, seed=77))
    good: list[Item] = []
    ids = []
    for one in documents:
        event = new_event(EventType.DOCUMENT_PUBLISHED, one.content, providerid="corpus")
        ids.append(event.id)
        good.append((one.person.mrn.encode(), one.content, list(write_headers(event))))
    bad, strange = refused(), odd()
    first, middle, last = bad[::3] + strange[::3], bad[1::3] + strange[1::3], bad[2::3] + strange[2::3]
    before = {name: stack.parts[name].child.pid for name in SERVICES}  # type: ignore[union-attr]

    places = asyncio.run(send(stack.bootstrap, [*first, *good[: GOOD // 2], *middle, *good[GOOD // 2 :], *last]))
    report = stack.settle(ids)
    stack.settle_log()

    assert report["outcomes"] == {"created": GOOD}
    ended = dict(zip((id(one) for one in [*first, *good[: GOOD // 2], *middle, *good[GOOD // 2 :], *last]), places, strict=True))
    for item in bad:
        rows = [row for row in outcomes(stack, ended[id(item)]) if row["is_terminal"]]
        assert rows, item[1] and item[1][:80]
        assert {row["status"] for row in rows} == {"rejected"}, item[1] and item[1][:80]
        assert all(row["reason"] in PLAYBOOK and row["reason"] != "defect" for row in rows), rows
    for item in strange:
        rows = outcomes(stack, ended[id(item)])
        assert any(row["is_terminal"] for row in rows), item[1] and item[1][:80]
        assert not [row for row in rows if row["status"] == "failed"], (
            item[1] and item[1][:80],
            [(row["stage"], row["defect"]) for row in rows],
        )
    assert stack.restarts == 0
    assert before == {name: stack.parts[name].child.pid for name in SERVICES}  # type: ignore[union-attr]


def test_good_documents_still_arrive_afterwards(stack: Stack) -> None:
    report = stack.settle(stack.publish(list(corpus(GOOD + 8, patients=6, seed=77))[GOOD:]))

    assert report["outcomes"] == {"created": 8}
