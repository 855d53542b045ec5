import asyncio
from typing import Any

import pytest

from services.ingest.digests import Holder
from services.ingest.passing_on import CLAIM_SECONDS
from shared.content_store import reference_to
from shared.delivery import Record
from shared.errors import Unavailable
from shared.events import BATCH, EventType
from shared.identity import digest
from shared.outcomes import Action, Outcome, Reason, Rejected, Status
from tests.unit.ingest.fakes import SEPARATOR, World, published

PATIENT = "2f0c2a3e-6f1b-5a50-8d53-0e9c3c0a1b11"
OTHER = "9f0c2a3e-6f1b-5a50-8d53-0e9c3c0a1b22"


def statuses(outcomes: Any) -> list[tuple[int, Status, tuple[str, ...]]]:
    return [(one.facts.part, one.status, one.facts.passed_on) for one in outcomes]


def received(number: int, part: int = 0) -> tuple[int, Status, tuple[str, ...]]:
    return part, Status.RECEIVED, (f"document.received.v1/0/{number}",)


def duplicate(part: int = 0) -> tuple[int, Status, tuple[str, ...]]:
    return part, Status.DUPLICATE, ()


class TestReceiving:
    def test_a_document_is_passed_on_with_its_ids(self) -> None:
        world = World()

        (outcomes,) = world.handle(
            published(f"patient:{PATIENT} document:{OTHER}".encode(), 7, traceparent="00-1", contenttype="text/plain")
        )

        (event,) = world.sender.events
        topic, key, value, _ = world.sender.sent[0]
        content = f"patient:{PATIENT} document:{OTHER}".encode()
        assert (topic, key, value) == ("document.received.v1", PATIENT.encode(), content)
        assert (event.type, event.subject, event.documentid, event.providerid, event.format, event.sha256) == (
            EventType.DOCUMENT_RECEIVED,
            PATIENT,
            OTHER,
            "lab-1",
            "text",
            digest(content),
        )
        assert (event.correlationid, event.traceparent, event.contenttype, event.origin, event.contentref) == (
            "event-7",
            "00-1",
            "text/plain",
            None,
            None,
        )
        assert statuses(outcomes) == [received(0)]
        facts = outcomes[0].facts
        assert (facts.action, facts.provider_id, facts.format, facts.sha256, facts.size, facts.patient_key, facts.document_id) == (
            Action.RECEIVE,
            "lab-1",
            "text",
            digest(content),
            len(content),
            PATIENT,
            OTHER,
        )

    def test_a_batch_is_split_in_order(self) -> None:
        world = World()

        (outcomes,) = world.handle(published(SEPARATOR.join([b"one", b"two", b"three"])))

        assert [event.data for event in world.sender.events] == [b"one", b"two", b"three"]
        assert len({event.id for event in world.sender.events}) == 3
        assert statuses(outcomes) == [received(0, 0), received(1, 1), received(2, 2)]

    def test_a_bare_record_belongs_to_the_default_provider(self) -> None:
        world = World()

        world.handle(Record("document.published.v1", 3, 9, b"k", b"text", (), 0))

        (event,) = world.sender.events
        assert (event.providerid, event.correlationid) == ("default", "document.published.v1/3/9")

    @pytest.mark.parametrize(("subject", "expected"), [(PATIENT, PATIENT), (PATIENT.upper(), PATIENT), ("MRN-12345", None), (None, None)])
    def test_only_a_patient_key_names_the_patient(self, subject: str | None, expected: str | None) -> None:
        world = World()

        (outcomes,) = world.handle(published(b"text", subject=subject))

        assert (expected, expected) == (outcomes[0].facts.patient_key, world.sender.events[0].subject)
        assert world.sender.sent[0][1] is not None
        assert b"MRN" not in world.sender.sent[0][1]

    def test_a_publisher_cannot_set_what_is_ours_to_say(self) -> None:
        world = World()

        world.handle(published(b"text", origin="x/0/0", replayid="r", clinicid="c", destinationid="d", documentid="e", sha256="f"))

        (event,) = world.sender.events
        assert (None, None, None, None, None, digest(b"text")) == (
            event.origin,
            event.replayid,
            event.clinicid,
            event.destinationid,
            event.documentid,
            event.sha256,
        )

    def test_every_event_of_a_batch_is_received_for_itself(self) -> None:
        world = World()
        value = b'[{"id":"a","providerid":"p","data":"one"},{"id":"b","data":"bad"},{"id":"c","providerid":"q","data":"one"}]'

        (outcomes,) = world.handle(Record("document.published.v1", 0, 0, None, value, (("content-type", BATCH.encode()),), 0))

        assert [(event.providerid, event.correlationid) for event in world.sender.events] == [("p", "a"), ("q", "c")]
        assert [(one.facts.part, one.status.value) for one in outcomes] == [(0, "received"), (1, "rejected"), (2, "received")]


class TestRefusing:
    def refused(self, world: World, record: Record) -> Rejected:
        ((outcome,),) = world.handle(record)
        assert isinstance(outcome, Rejected)
        assert world.sender.sent == []
        assert world.digests.rows == {}
        return outcome

    def test_a_refused_record_is_refused_whole_with_its_digest(self) -> None:
        outcome = self.refused(World(), published(b"bad"))

        assert (Reason.UNKNOWN_FORMAT, digest(b"bad"), 3, "lab-1", 0) == (
            outcome.reason,
            outcome.facts.sha256,
            outcome.facts.size,
            outcome.facts.provider_id,
            outcome.facts.part,
        )

    def test_too_large(self) -> None:
        assert self.refused(World(max_bytes=3), published(b"four")).reason is Reason.CONTENT_TOO_LARGE

    def test_missing_content(self) -> None:
        outcome = self.refused(World(), published(b"", contentref=reference_to("0" * 64)))

        assert (outcome.reason, outcome.where) == (Reason.CONTENT_MISSING, "ce_contentref")

    def test_a_reference_that_is_a_path(self) -> None:
        assert self.refused(World(), published(b"", contentref="sha256/../../etc/passwd")).reason is Reason.CONTENT_MISSING

    def test_a_broken_envelope(self) -> None:
        record = Record("document.published.v1", 0, 0, None, b"{", (("content-type", b"application/cloudevents+json"),), 0)

        assert self.refused(World(), record).reason is Reason.MALFORMED_ENVELOPE


class TestLargeContent:
    def test_large_parts_travel_by_reference_and_are_stored_first(self) -> None:
        world = World(claim_check_bytes=10)

        async def nothing_sent_before_it_is_stored() -> None:
            assert world.contents.contents == {reference_to(digest(b"x" * 11)): b"x" * 11}

        world.sender.before = nothing_sent_before_it_is_stored
        world.handle(published(SEPARATOR.join([b"x" * 11, b"small"])))

        assert [(b"", reference_to(digest(b"x" * 11)), digest(b"x" * 11)), (b"small", None, digest(b"small"))] == [
            (event.data, event.contentref, event.sha256) for event in world.sender.events
        ]
        assert world.sender.sent[0][2] == b""  # not null: that would be a tombstone

    def test_content_published_by_reference_is_received(self) -> None:
        world = World(claim_check_bytes=10)
        ref = asyncio.run(world.contents.put(b"y" * 20))

        (outcomes,) = world.handle(published(b"", contentref=ref))

        assert world.sender.events[0].contentref == ref
        assert (outcomes[0].status, outcomes[0].facts.size, outcomes[0].facts.sha256) == (Status.RECEIVED, 20, digest(b"y" * 20))

    def test_a_store_that_is_away_keeps_the_record(self) -> None:
        world = World(claim_check_bytes=10)
        world.contents.is_down = True
        with pytest.raises(Unavailable):
            world.handle(published(b"x" * 11))
        world.contents.is_down = False

        assert statuses(world.handle(published(b"x" * 11))[0]) == [received(0)]


class TestDuplicates:
    def test_the_same_bytes_again_are_a_duplicate(self) -> None:
        world = World()

        outcomes = world.handle(published(b"text", 0), published(b"text", 1), published(b"text", 2))

        assert [[received(0)], [duplicate()], [duplicate()]] == [statuses(one) for one in outcomes]
        assert len(world.sender.sent) == 1

    def test_other_providers_and_other_patients_have_documents_of_their_own(self) -> None:
        world = World()

        outcomes = world.handle(
            published(b"leaflet", 0, subject=PATIENT),
            published(b"leaflet", 1, subject=OTHER),
            published(b"leaflet", 2, subject=PATIENT, providerid="lab-2"),
            published(b"leaflet", 3, subject=OTHER),
        )

        assert [[received(0)], [received(1)], [received(2)], [duplicate()]] == [statuses(one) for one in outcomes]

    def test_the_same_message_twice_in_one_file(self) -> None:
        world = World()
        record = published(SEPARATOR.join([b"one", b"one", b"two"]))

        first, again = world.handle(record, record)

        assert [received(0, 0), duplicate(1), received(1, 2)] == statuses(first)
        assert first == again

    def test_a_part_of_a_batch_may_be_known_already(self) -> None:
        world = World()

        outcomes = world.handle(published(b"two", 0), published(SEPARATOR.join([b"one", b"two"]), 1))

        assert [[received(0)], [received(1, 0), duplicate(1)]] == [statuses(one) for one in outcomes]

    def test_a_publisher_may_say_again_what_to_do_with_the_same_bytes(self) -> None:
        world = World()
        withdraw = published(b"text", 1, syncaction="withdraw")

        outcomes = world.handle(published(b"text", 0), withdraw, withdraw, published(b"text", 2, syncaction="withdraw"))

        assert [[received(0)], [received(1)], [received(1)], [received(2)]] == [statuses(one) for one in outcomes]
        assert [event.syncaction for event in world.sender.events] == [None, "withdraw", "withdraw"]


class TestCrashes:
    """The record is handled again from the start, as after a kill; each test stops it at another step."""

    RECORD = published(SEPARATOR.join([b"one", b"two"]))
    EXPECTED = [received(0, 0), received(1, 1)]  # noqa: RUF012

    def test_after_everything_but_the_commit(self) -> None:
        world = World()

        first, again = world.handle(self.RECORD, self.RECORD)

        assert statuses(first) == self.EXPECTED
        assert first == again
        assert len(world.sender.sent) == 2

    def test_before_the_claim(self) -> None:
        world = World()
        world.digests.fail_claim = 1
        with pytest.raises(Unavailable):
            world.handle(self.RECORD)

        assert statuses(world.handle(self.RECORD)[0]) == self.EXPECTED

    def test_between_claim_and_produce(self) -> None:
        world = World()
        world.sender.fail = 1
        with pytest.raises(Unavailable):
            world.handle(self.RECORD)

        assert statuses(world.handle(self.RECORD)[0]) == self.EXPECTED

    def test_between_produce_and_acknowledgement(self) -> None:
        world = World()
        world.sender.lose = 1
        with pytest.raises(Unavailable):
            world.handle(self.RECORD)
        (outcomes,) = world.handle(self.RECORD)

        assert statuses(outcomes) == [received(2, 0), received(3, 1)]
        # the twins carry the same event ids, so that nobody downstream mistakes them for two documents
        ids = [event.id for event in world.sender.events]
        assert ids[:2] == ids[2:]

    def test_between_acknowledgement_and_remembering(self) -> None:
        world = World()
        world.digests.fail_remember = 1
        with pytest.raises(Unavailable):
            world.handle(self.RECORD)
        first, again = world.handle(self.RECORD, self.RECORD)

        assert [one.status for one in first] == [Status.RECEIVED, Status.RECEIVED]
        assert first == again
        assert len(world.sender.sent) == 3  # the one that was not remembered is sent again, the other is not


class TestRaces:
    def test_the_loser_waits_until_the_winner_has_produced(self) -> None:
        world = World()
        world.sender.fail = 1
        with pytest.raises(Unavailable):
            world.handle(published(b"text", 0))
        with pytest.raises(Unavailable) as caught:
            world.handle(published(b"text", 1))
        outcomes = world.handle(published(b"text", 0), published(b"text", 1))

        assert (caught.value.target, caught.value.is_target_down) == ("ingest-claim", False)
        assert caught.value.retry_after_seconds is not None
        assert [[received(0)], [duplicate()]] == [statuses(one) for one in outcomes]

    def test_one_of_many_at_once_wins(self) -> None:
        world = World()

        async def handle(offset: int) -> list[Outcome]:
            while True:
                try:
                    return list(await world.handler(published(b"text", offset)))
                except Unavailable:
                    await asyncio.sleep(0.001)

        async def run() -> list[list[Outcome]]:
            return await asyncio.gather(*map(handle, range(20)))

        outcomes = asyncio.run(run())

        assert sorted(one.status.value for (one,) in outcomes) == ["duplicate"] * 19 + ["received"]
        assert len(world.sender.sent) == 1

    def test_a_claim_left_behind_is_taken_over(self) -> None:
        world = World()
        world.sender.fail = 1
        with pytest.raises(Unavailable):
            world.handle(published(b"text", 0))
        world.digests.age_seconds = CLAIM_SECONDS + 1

        outcomes = world.handle(published(b"text", 1), published(b"text", 0))

        assert [[received(0)], [duplicate()]] == [statuses(one) for one in outcomes]

    def test_two_batches_that_wait_for_each_other_both_finish(self) -> None:
        world = World()
        first = published(SEPARATOR.join([b"one", b"two"]), 0)
        second = published(SEPARATOR.join([b"two", b"one"]), 1)
        # each holds the claim on its first part
        world.digests.rows[("lab-1", digest(b"one"), "")] = Holder(first.place, 0, None, 0.0)
        world.digests.rows[("lab-1", digest(b"two"), "")] = Holder(second.place, 0, None, 0.0)
        with pytest.raises(Unavailable):
            world.handle(first)

        later, again = world.handle(second, first)

        assert [received(1, 0), duplicate(1)] == statuses(later)
        assert [received(0, 0), duplicate(1)] == statuses(again)
        assert len(world.sender.sent) == 2
