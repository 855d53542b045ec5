import asyncio
import random

import pytest

from shared.delivery import RefusalLimits
from shared.errors import Unavailable
from shared.kafka import committed_and_end_offsets, read_range, read_record
from shared.outcomes import Failed, Reason, Rejected
from tests.integration.delivery.harness import (
    OK,
    Books,
    Member,
    a_topic,
    fill,
    group_name,
    produce_a_header_name_that_is_no_text,
    until,
    until_committed,
    watched,
)


def test_order_is_kept_for_each_key_and_commits_never_run_ahead(kafka_bootstrap):
    async def run() -> None:
        topic, group, books = await a_topic(kafka_bootstrap), group_name(), Books()
        chance = random.Random(4711)
        await fill(kafka_bootstrap, topic, [f"key-{chance.randrange(40)}" for _ in range(2000)])
        busy: set[bytes | None] = set()
        most = 0

        async def handler(record):
            nonlocal most
            assert record.key not in busy
            busy.add(record.key)
            most = max(most, len(busy))
            try:
                await asyncio.sleep(chance.random() * 0.004)
                if chance.random() < 0.05:
                    raise Unavailable("platform", retry_after_seconds=0.01)
                books.note_effect(record)
            finally:
                busy.discard(record.key)
            return OK

        member = Member(kafka_bootstrap, topic, group, books, handler)
        async with watched(kafka_bootstrap, group, topic, books) as seen:
            await member.start()
            await until_committed(kafka_bootstrap, group, topic, 2000)
        await member.stop()

        books.assert_order_kept()
        assert most == 16
        assert len(seen) > 3
        assert books.count == 2000

    asyncio.run(run())


def test_members_come_and_go_under_load_and_nothing_is_lost(kafka_bootstrap):
    async def run() -> None:
        topic, group, books = await a_topic(kafka_bootstrap, 6), group_name(), Books()
        chance = random.Random(2)
        await fill(kafka_bootstrap, topic, [f"key-{chance.randrange(60)}" for _ in range(6000)])

        async def handler(record):
            await asyncio.sleep(chance.random() * 0.02)
            books.note_effect(record)
            return OK

        def member() -> Member:
            return Member(kafka_bootstrap, topic, group, books, handler)

        async with watched(kafka_bootstrap, group, topic, books):
            stays = await member().start()
            for _ in range(4):
                before = books.count
                other = await member().start()
                await until(lambda before=before: books.count > before + 200)
                await other.stop()
            await until_committed(kafka_bootstrap, group, topic, 6000)
        await stays.stop()

        books.assert_order_kept()
        assert books.count == 6000
        print(f"repeats {books.repeats}")
        assert books.repeats < 8 * 100  # eight rebalances: what was done in front of a hole is done again, and no more

    asyncio.run(run())


@pytest.mark.parametrize("poison", [{0}, {100}, {199}, {0, 1, 2, 100, 198, 199}])
def test_only_the_poison_is_refused(kafka_bootstrap, poison):
    async def run() -> None:
        topic, group, books = await a_topic(kafka_bootstrap, 1), group_name(), Books()
        await fill(kafka_bootstrap, topic, [f"key-{number % 7}" for number in range(200)])

        async def handler(record):
            if record.offset in poison:
                raise ValueError(record.value)
            return OK

        member = await Member(kafka_bootstrap, topic, group, books, handler).start()
        await until_committed(kafka_bootstrap, group, topic, 200)
        await member.stop()

        failed = {record.offset for record, (outcome,) in books.outcomes if isinstance(outcome, Failed)}
        assert poison == failed
        assert len(books.outcomes) == 200

    asyncio.run(run())


def test_a_partition_of_nothing_but_poison_stops_the_service_with_its_code(kafka_bootstrap):
    async def run() -> None:
        topic, group, books = await a_topic(kafka_bootstrap, 1), group_name(), Books()
        await fill(kafka_bootstrap, topic, ["key"] * 300)

        async def handler(record):
            return [Rejected(Reason.MALFORMED_HL7, "MSH")]

        member = await Member(kafka_bootstrap, topic, group, books, handler, refusals=RefusalLimits(in_a_row=50)).start()
        await until(lambda: member.exits)
        await member.stop()
        offsets = await committed_and_end_offsets([kafka_bootstrap], group, [topic])

        assert member.exits == [71]
        assert len(books.outcomes) == 50
        assert offsets[topic, 0][0] == 50
        assert not member.engine.is_ready

    asyncio.run(run())


def test_odd_headers_keys_and_values_reach_the_handler_untouched(kafka_bootstrap):
    async def run() -> None:
        from aiokafka import AIOKafkaProducer

        topic, group, books = await a_topic(kafka_bootstrap, 1), group_name(), Books()
        odd = [
            (b"k", b"v", [("ce_id", None), ("ce_id", b"\xff\xfe"), ("reply_to", b"document.received.v1"), ("correlation_id", b"x")]),
            (b"k", b"v", [("content-type", b"application/x-forged"), ("content-type", b"\x00"), ("", b"")]),
            (b"k", None, []),
            (None, b"v", [("h", b"x" * 100_000)]),
            (b"\xff", b"", [("undefined", b"undefined")]),
        ]
        producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
        await producer.start()
        for key, value, headers in odd:
            await producer.send_and_wait(topic, key=key, value=value, headers=headers)
        await producer.stop()
        seen = []

        async def handler(record):
            seen.append((record.offset, record.key, record.value, list(record.headers)))
            return OK

        member = await Member(kafka_bootstrap, topic, group, books, handler).start()
        await until_committed(kafka_bootstrap, group, topic, len(odd))
        await member.stop()

        assert [(number, *one) for number, one in enumerate(odd)] == sorted(seen)

    asyncio.run(run())


def test_a_stop_finishes_what_is_in_flight_and_the_next_member_goes_on_without_a_repeat(kafka_bootstrap):
    async def run() -> None:
        topic, group, books = await a_topic(kafka_bootstrap), group_name(), Books()
        await fill(kafka_bootstrap, topic, [f"key-{number % 50}" for number in range(2000)])

        async def handler(record):
            await asyncio.sleep(0.003)
            books.note_effect(record)
            return OK

        first = await Member(kafka_bootstrap, topic, group, books, handler).start()
        await until(lambda: books.count > 300)
        async with asyncio.timeout(10):
            await first.stop()
        assert 300 < books.count < 2000
        second = await Member(kafka_bootstrap, topic, group, books, handler).start()
        await until_committed(kafka_bootstrap, group, topic, 2000)
        await second.stop()

        books.assert_order_kept()
        assert first.engine.in_flight == 0
        assert books.repeats <= 16 * 50  # done in front of one that was not: the mark cannot say so

    asyncio.run(run())


def test_a_blocked_target_fills_the_buffer_and_no_more_and_the_member_stays(kafka_bootstrap):
    async def run() -> None:
        topic, group, books = await a_topic(kafka_bootstrap, 2), group_name(), Books()
        await fill(kafka_bootstrap, topic, [f"key-{number % 50}" for number in range(8000)])
        is_down = True

        async def handler(record):
            if is_down:
                raise Unavailable("platform", is_target_down=True)
            books.note_effect(record)
            return OK

        member = await Member(kafka_bootstrap, topic, group, books, handler, buffered_records=300).start()
        await until(lambda: all(member.engine.held((topic, partition)) >= 100 for partition in range(2)))
        polls = member.polling.last_poll
        await until(lambda: member.polling.last_poll > polls + 3)
        assert member.engine.room.records <= 300
        assert member.engine.open_targets == ["platform"]
        is_down = False
        await until_committed(kafka_bootstrap, group, topic, 8000)
        await member.stop()

        books.assert_order_kept()
        assert books.repeats == 0

    asyncio.run(run())


def test_a_new_group_begins_at_the_beginning_and_a_known_one_where_it_was(kafka_bootstrap):
    async def run() -> None:
        topic, group, books = await a_topic(kafka_bootstrap), group_name(), Books()
        await fill(kafka_bootstrap, topic, [str(number) for number in range(100)])

        async def handler(record):
            books.note_effect(record)
            return OK

        for expected in (100, 100):
            member = await Member(kafka_bootstrap, topic, group, books, handler).start()
            await until_committed(kafka_bootstrap, group, topic, expected)
            await member.stop()

        assert len(books.outcomes) == 100

    asyncio.run(run())


def test_a_range_that_retention_took_stops_the_service_and_is_not_jumped_over(kafka_bootstrap):
    async def run() -> None:
        from aiokafka import TopicPartition
        from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

        topic, group, books = await a_topic(kafka_bootstrap, 1), group_name(), Books()
        await fill(kafka_bootstrap, topic, ["key"] * 50)

        async def handler(record):
            return OK

        member = await Member(kafka_bootstrap, topic, group, books, handler).start()
        await until_committed(kafka_bootstrap, group, topic, 50)
        await member.stop()
        await fill(kafka_bootstrap, topic, ["key"] * 50)
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
        await admin.start()
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=80)})
        await admin.close()

        member = await Member(kafka_bootstrap, topic, group, books, handler).start()
        await until(lambda: member.exits)
        await member.stop()
        offsets = await committed_and_end_offsets([kafka_bootstrap], group, [topic])

        assert member.exits == [72]
        assert offsets[topic, 0] == (50, 80, 100)
        assert len(books.outcomes) == 50

    asyncio.run(run())


def test_what_a_provider_took_back_in_a_transaction_is_not_delivered_and_the_group_gets_past_it(kafka_bootstrap):
    async def run() -> None:
        from aiokafka import AIOKafkaProducer

        topic, group, books = await a_topic(kafka_bootstrap, 1), group_name(), Books()
        producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=group)
        await producer.start()
        for is_kept in (True, False, True):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, key=b"k", value=b"kept" if is_kept else b"taken back")
            await (producer.commit_transaction() if is_kept else producer.abort_transaction())
        await producer.stop()
        seen = []

        async def handler(record):
            seen.append(record.value)
            return OK

        member = await Member(kafka_bootstrap, topic, group, books, handler).start()
        await until_committed(kafka_bootstrap, group, topic, 5)
        await member.stop()

        assert seen == [b"kept", b"kept"]

    asyncio.run(run())


def test_a_header_name_that_is_no_text_neither_blocks_its_partition_nor_costs_a_record(kafka_bootstrap):
    async def run() -> None:
        topic, group, books = await a_topic(kafka_bootstrap), group_name(), Books()
        for partition in (1, 1, 3):
            await fill(kafka_bootstrap, topic, [f"key-{number % 40}" for number in range(400)])
            await produce_a_header_name_that_is_no_text(kafka_bootstrap, topic, partition)
        await fill(kafka_bootstrap, topic, [f"key-{number % 40}" for number in range(400)])
        odd = []

        async def handler(record):
            if record.value == b"odd":
                odd.append(record)
            books.note_effect(record)
            return OK

        async with watched(kafka_bootstrap, group, topic, books):
            member = await Member(kafka_bootstrap, topic, group, books, handler).start()
            await until_committed(kafka_bootstrap, group, topic, 1600 + 9)
            await member.stop()
        everything = [one async for one in read_range([kafka_bootstrap], topic)]

        books.assert_order_kept()
        assert books.repeats == 0
        assert {one.headers for one in odd} == {(("\\xff\\xfeAB", b"x"), ("null", None))}
        assert len(odd) == 3
        assert len(everything) == len(set(everything)) == 1609
        assert await read_record([kafka_bootstrap], odd[0].place) == odd[0]

    asyncio.run(run())


def test_a_key_that_is_stuck_holds_its_partition_in_the_end_and_no_other(kafka_bootstrap):
    async def run() -> None:
        topic, group, books = await a_topic(kafka_bootstrap), group_name(), Books()
        places = await fill(kafka_bootstrap, topic, ["stuck" if number % 3 == 0 else f"key-{number % 100}" for number in range(3000)])
        stuck_in = int(places[0].split("/")[1])
        is_stuck = True

        async def handler(record):
            if record.key == b"stuck" and is_stuck:
                raise Unavailable("platform", "503")
            books.note_effect(record)
            return OK

        member = await Member(kafka_bootstrap, topic, group, books, handler, buffered_records=300).start()
        elsewhere = sum(int(place.split("/")[1]) != stuck_in for place in places)
        await until(lambda: sum(len(done) for (_, partition), done in books.done.items() if partition != stuck_in) == elsewhere)
        is_stuck = False
        await until_committed(kafka_bootstrap, group, topic, 3000)
        await member.stop()

        books.assert_order_kept()
        assert books.repeats == 0

    asyncio.run(run())
