import asyncio
import itertools
import json
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from shared import topics
from shared.delivery import OutcomeRecorder, Producer
from shared.kafka import apply_topics, committed_and_end_offsets, read_range
from shared.outcomes import Reason, Rejected, Stage, decode_outcome
from tests.integration.delivery.harness import OK, Books, Member, a_topic, fill, group_name, until, until_committed, watched

ROOT = Path(__file__).parents[3]


def start_member(bootstrap: str, topic: str, group: str, effects: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killed_member.py")), bootstrap, topic, group, str(effects)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )


def lines_of(effects: Path) -> list[tuple[int, int, str]]:
    found = []
    for line in effects.read_text().splitlines() if effects.exists() else []:
        parts = line.split()
        if len(parts) == 3:  # a line that a kill cut short was no effect
            found.append((int(parts[0]), int(parts[1]), parts[2]))
    return found


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_killed_members_lose_nothing_and_keep_the_order(kafka_bootstrap, tmp_path):
    async def prepare() -> str:
        topic = await a_topic(kafka_bootstrap)
        chance = random.Random(7)
        await fill(kafka_bootstrap, topic, [f"key-{chance.randrange(100)}" for _ in range(4000)])
        return topic

    topic, group, effects = asyncio.run(prepare()), group_name(), tmp_path / "effects"
    chance = random.Random(99)
    kills = 0
    while len({one[:2] for one in lines_of(effects)}) < 4000:
        wanted = len(lines_of(effects)) + chance.randrange(300, 1200)
        member = start_member(kafka_bootstrap, topic, group, effects)
        try:
            wait_for(lambda wanted=wanted: len(rows := lines_of(effects)) >= wanted or len({one[:2] for one in rows}) == 4000)
        finally:
            member.send_signal(signal.SIGKILL)
            member.wait()
        kills += 1

    rows = lines_of(effects)
    firsts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    seen = set()
    for partition, offset, key in rows:
        if (partition, offset) not in seen:
            seen.add((partition, offset))
            firsts[key].append((partition, offset))
    assert len(seen) == 4000
    assert kills >= 4
    assert all(sorted(places) == places for places in firsts.values())
    print(f"kills {kills}, repeats {len(rows) - len(seen)}")


def test_a_broker_that_goes_away_and_comes_back_costs_nothing(local_kafka):
    async def run() -> None:
        bootstrap = local_kafka.bootstrap
        await apply_topics([bootstrap])
        topic, group, books = await a_topic(bootstrap), group_name(), Books()
        chance = random.Random(5)
        await fill(bootstrap, topic, [f"key-{chance.randrange(50)}" for _ in range(4000)])
        producer = Producer([bootstrap], name="test", deadline_seconds=3)
        await producer.start()
        recorder = OutcomeRecorder(producer, stage=Stage.NORMALIZER)

        class Both(Books):
            async def record(self, record, outcomes, *, attempt, duration_ms):
                await recorder.record(record, outcomes, attempt=attempt, duration_ms=duration_ms)
                await books.record(record, outcomes, attempt=attempt, duration_ms=duration_ms)

        async def handler(record):
            await asyncio.sleep(0.005)
            books.note_effect(record)
            return OK

        member = await Member(bootstrap, topic, group, Both(), handler).start()
        for number in (1, 2):
            await until(lambda number=number: books.count >= 800 * number)
            await asyncio.to_thread(local_kafka.kill)
            await until(lambda: not producer.is_ready, 20)
            await asyncio.sleep(2)  # an outage that lasts a while
            await asyncio.to_thread(local_kafka.start)
            await asyncio.to_thread(local_kafka.wait_ready)
        await until_committed(bootstrap, group, topic, 4000, 90)
        await member.stop()
        await producer.stop()
        recorded = [decode_outcome(one.value or b"") async for one in read_range([bootstrap], topics.OUTCOMES.name)]

        books.assert_order_kept()
        assert books.count == 4000
        assert member.exits == []
        assert {(one.partition, one.offset) for one in recorded} == set(itertools.chain.from_iterable(books.firsts.values()))
        assert len({one.id for one in recorded}) == 4000

    asyncio.run(run())


def test_what_cannot_be_quarantined_is_not_marked_until_it_can(local_kafka):
    async def run() -> None:
        bootstrap = local_kafka.bootstrap
        await apply_topics([bootstrap], [topics.OUTCOMES])
        topic, group = await a_topic(bootstrap, 1), group_name()
        await fill(bootstrap, topic, ["well", "sick", "well", None], [("ce_id", b"event-1"), ("ce_providerid", b"clinic-north")])
        producer = Producer([bootstrap], name="test", deadline_seconds=2)
        await producer.start()

        async def handler(record):
            return [Rejected(Reason.MALFORMED_HL7, "MSH-9")] if record.key in (b"sick", None) else OK

        member = await Member(bootstrap, topic, group, OutcomeRecorder(producer, stage=Stage.NORMALIZER), handler).start()
        await until_committed(bootstrap, group, topic, 1)
        await until(lambda: member.engine.meters.done == 2)
        offsets = await committed_and_end_offsets([bootstrap], group, [topic])
        assert offsets[topic, 0][0] == 1
        await apply_topics([bootstrap], [topics.QUARANTINED])
        await until_committed(bootstrap, group, topic, 4)
        await member.stop()
        await producer.stop()
        aside = [one async for one in read_range([bootstrap], topics.QUARANTINED.name)]
        rows = {decode_outcome(one.value or b"").id async for one in read_range([bootstrap], topics.OUTCOMES.name)}

        assert {b"sick", f"{topic}/0/3".encode()} == {one.key for one in aside}
        values = [json.loads(one.value or b"") for one in aside]
        assert {(1, "malformed_hl7", "MSH-9", "clinic-north"), (3, "malformed_hl7", "MSH-9", "clinic-north")} == {
            (one["offset"], one["reason"], one["where"], one["provider_id"]) for one in values
        }
        assert {one["id"] for one in values} <= rows
        assert len(rows) == 4

    asyncio.run(run())


def test_commits_stay_behind_the_work_through_kills_of_a_neighbour(kafka_bootstrap, tmp_path):
    """One member lives here and is watched; others come as processes and are killed, so that their partitions fall to it."""

    async def run() -> None:
        topic, group, books = await a_topic(kafka_bootstrap), group_name(), Books()
        await fill(kafka_bootstrap, topic, [f"key-{number % 80}" for number in range(6000)])
        effects = tmp_path / "effects"

        async def handler(record):
            await asyncio.sleep(0.03)
            books.note_effect(record)
            return OK

        member = await Member(kafka_bootstrap, topic, group, books, handler, consumer={"session_timeout_ms": 6_000}).start()
        neighbour = start_member(kafka_bootstrap, topic, group, effects)
        try:
            await until(lambda: len(lines_of(effects)) > 100)
        finally:
            neighbour.kill()
            await asyncio.to_thread(neighbour.wait)
        await until_committed(kafka_bootstrap, group, topic, 6000)
        await member.stop()

        done = {place for places in books.done.items() for place in ((places[0][1], offset) for offset in places[1])}
        assert len(done | {one[:2] for one in lines_of(effects)}) == 6000

    asyncio.run(run())


def test_a_watched_group_survives_the_deletion_of_its_offsets(kafka_bootstrap):
    async def run() -> None:
        topic, group, books = await a_topic(kafka_bootstrap), group_name(), Books()
        await fill(kafka_bootstrap, topic, [f"key-{number % 20}" for number in range(500)])

        async def handler(record):
            books.note_effect(record)
            return OK

        async with watched(kafka_bootstrap, group, topic, books):
            member = await Member(kafka_bootstrap, topic, group, books, handler).start()
            await until_committed(kafka_bootstrap, group, topic, 500)
            await member.stop()
        again = group_name()  # as good as new: all of it comes again, and nothing of it is lost
        member = await Member(kafka_bootstrap, topic, again, books, handler).start()
        await until_committed(kafka_bootstrap, again, topic, 500)
        await member.stop()

        assert books.repeats == 500

    asyncio.run(run())
