import json
import uuid
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from shared.events import BATCH, STRUCTURED, Event, EventType, new_event, read_headers, read_published, write_headers
from shared.identity import digest
from shared.outcomes import Reason, Rejected

HL7 = b"MSH|^~\\&|LAB\rPID|1\r"


def attributes(**changes: Any) -> dict[str, Any]:
    return {"type": "org.example.sent", "source": "urn:example:lab", "id": "e-1", "providerid": "lab-1", "specversion": "1.0", **changes}


def read_one(headers: Any, value: bytes | None) -> Event:
    events = read_published(headers, value, fallback_id="t/0/7")
    assert isinstance(events, list)
    (event,) = events
    return event


class TestOtherLibraries:
    """The `cloudevents` package writes what we read, and reads what we write."""

    @pytest.mark.parametrize("write", [to_binary, to_structured])
    @pytest.mark.parametrize(
        ("data", "media_type", "expected"),
        [
            (HL7, "x-application/hl7-v2+er7", HL7),
            (HL7.decode(), "x-application/hl7-v2+er7", HL7),
            ("café", "text/plain", "café".encode()),
            (b"%PDF-1.7\n\xff\x00", "application/pdf", b"%PDF-1.7\n\xff\x00"),
            ({"resourceType": "Patient", "id": "7"}, "application/fhir+json", b'{"resourceType": "Patient", "id": "7"}'),
        ],
    )
    def test_both_modes_are_read(self, write: Any, data: Any, media_type: str, expected: bytes) -> None:
        written = write(CloudEvent(attributes=attributes(datacontenttype=media_type), data=data), JSONFormat())

        event = read_one(list(written.headers.items()), written.value)

        assert ("e-1", "org.example.sent", "urn:example:lab", "lab-1", media_type, expected) == (
            event.id,
            event.type,
            event.source,
            event.providerid,
            event.contenttype,
            event.data,
        )

    def test_what_we_write_is_read(self) -> None:
        ours = new_event(EventType.DOCUMENT_RECEIVED, HL7, providerid="lab-1", subject="s-1", contenttype="x-application/hl7-v2+er7")

        theirs = from_binary(KafkaMessage(dict(write_headers(ours)), None, ours.data), JSONFormat())

        assert (ours.id, str(ours.type), "s-1", "lab-1", digest(HL7)) == (
            theirs.get_id(),
            theirs.get_type(),
            theirs.get_subject(),
            theirs.get_extension("providerid"),
            theirs.get_extension("sha256"),
        )


class TestBareRecords:
    @pytest.mark.parametrize("headers", [[], [("x-request-id", b"1")], [("ce_id", None)], [("ce_id", b"undefined"), ("ce_type", b"null")]])
    def test_bytes_without_an_envelope_are_a_document(self, headers: Any) -> None:
        event = read_one(headers, HL7)

        assert (event.id, event.type, event.data) == ("t/0/7", EventType.DOCUMENT_PUBLISHED, HL7)

    def test_a_tombstone_is_empty(self) -> None:
        assert read_one([], None).data == b""


class TestHeaders:
    @pytest.mark.parametrize(
        "value", [None, b"", b" ", b"undefined", b"NULL", b"\xff\xfe", b"x" * 1025, b"a\x00b", b"a\r\nce_id: b", b"\x1b[31m"]
    )
    def test_a_useless_value_counts_as_absent(self, value: bytes | None) -> None:
        assert read_headers([("ce_id", value)]) == {}

    def test_the_first_of_repeated_headers_counts(self) -> None:
        assert read_headers(
            [("ce_id", None), ("ce_id", b"1"), ("CE_ID", b"2"), ("content-type", b"a/b"), ("ce_datacontenttype", b"c/d")]
        ) == {"id": "1", "contenttype": "a/b"}

    def test_foreign_headers_are_left_out(self) -> None:
        assert (
            read_headers([("reply_to", b"evil"), ("correlation_id", b"x" * 1_000_000), ("ce_data", b"x"), ("ce_contenttype", b"a/b")]) == {}
        )

    def test_every_attribute_survives_writing_and_reading(self) -> None:
        names = [name for name in Event.__dataclass_fields__ if name != "data"]
        event = Event(**{name: f"value-{name}" for name in names})  # type: ignore[arg-type]

        assert {name: f"value-{name}" for name in names} | {"specversion": "1.0"} == read_headers(write_headers(event))


class TestStructuredMode:
    def read(self, envelope: Any, headers: Any = (), media_type: str = STRUCTURED) -> Any:
        value = envelope if isinstance(envelope, bytes) else json.dumps(envelope).encode()
        return read_published([("content-type", media_type.encode()), *headers], value, fallback_id="t/0/7")

    def test_json_data_keeps_its_bytes(self) -> None:
        (event,) = self.read(b'\xef\xbb\xbf{"id":"1","data":{"value": 13.20, "a":1, "a":2}}')

        assert event.data == b'{"value": 13.20, "a":1, "a":2}'

    def test_parameters_and_case_of_the_media_type_do_not_matter(self) -> None:
        (event,) = self.read({"id": "1", "data": "x"}, media_type="Application/CloudEvents+JSON; charset=UTF-8")

        assert (event.id, event.data, event.contenttype) == ("1", b"x", None)

    def test_headers_fill_in_what_the_envelope_leaves_out(self) -> None:
        (event,) = self.read({"id": "1"}, [("ce_id", b"2"), ("ce_providerid", b"lab-1"), ("traceparent", b"00-1")])

        assert (event.id, event.providerid, event.traceparent, event.data) == ("1", "lab-1", "00-1", b"")

    def test_odd_attributes_are_harmless(self) -> None:
        (event,) = self.read({"id": None, "subject": {"a": 1}, "source": ["x"], "type": "undefined", "providerid": 7, "foreign": 1})

        assert (
            event.id,
            event.subject,
            event.source,
            event.type,
            event.providerid,
        ) == ("t/0/7", None, "urn:healthrecords", EventType.DOCUMENT_PUBLISHED, "7")

    def test_version_0_3_keeps_base64_in_data(self) -> None:
        (event,) = self.read({"id": "1", "datacontentencoding": "base64", "data": "TVNI\n"})

        assert event.data == b"MSH"

    @pytest.mark.parametrize(
        ("value", "where"),
        [
            (b"", "$"),
            (HL7, "$"),
            (b"[]", "$"),
            (b"[" * 100_000, "$"),
            (b'{"data":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "$"),
            (b'{"\xff":1}', "$"),
            (b'{"id":"\xff"}', "$"),
            (b'{"data":"\\ud800"}', "$"),
            (b'{"data":NaN}', "$"),
            (b'{"data_base64":"%%%"}', "data_base64"),
            (b'{"data_base64":"TVN"}', "data_base64"),
            (b'{"data_base64":{}}', "data_base64"),
        ],
    )
    def test_a_broken_envelope_is_refused_with_its_place(self, value: bytes, where: str) -> None:
        assert Rejected(Reason.MALFORMED_ENVELOPE, where) == self.read(value)

    @pytest.mark.parametrize("media_type", ["application/cloudevents+xml", "application/cloudevents"])
    def test_other_formats_are_refused(self, media_type: str) -> None:
        assert Rejected(Reason.MALFORMED_ENVELOPE, "content-type") == self.read({"id": "1"}, media_type=media_type)

    def test_a_batch_gives_its_events(self) -> None:
        events = self.read([{"id": "1", "data": "a"}, {"data": "b"}], [("ce_id", b"9")], media_type=BATCH)

        assert [(one.id, one.data) for one in events] == [("1", b"a"), ("t/0/7/1", b"b")]

    @pytest.mark.parametrize("value", [b"{}", b"[1]", b'[{"data_base64":7}]'])
    def test_a_broken_batch_is_refused_whole(self, value: bytes) -> None:
        assert isinstance(self.read(value, media_type=BATCH), Rejected)


class TestIds:
    def test_a_repetition_gives_the_same_id_and_another_part_another(self) -> None:
        cause = Event(type=EventType.DOCUMENT_PUBLISHED, id="e-1")
        first, again, other = (Event.after(cause, type=EventType.DOCUMENT_RECEIVED, part=part, data=b"").id for part in ("0", "0", "1"))

        assert first == again
        assert first != other
        assert str(uuid.UUID(first)) == first

    def test_ids_are_carried_onward(self) -> None:
        cause = Event(type="t", id="e-1", traceparent="00-1", providerid="p", correlationid="c", replayid="r", subject="s", documentid="d")

        after = Event.after(cause, type=EventType.DOCUMENT_RECEIVED, part="0", data=b"x", format="hl7v2")

        assert (
            after.traceparent,
            after.providerid,
            after.correlationid,
            after.replayid,
            after.format,
            after.subject,
            after.documentid,
        ) == ("00-1", "p", "c", "r", "hl7v2", None, None)
