import asyncio
from types import SimpleNamespace

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError

from shared.delivery.brake import Brake
from shared.delivery.commits import Committer
from shared.delivery.polling import Polling
from tests.unit.shared.delivery.fakes import MemoryRecorder, engine, fine, until

PLACE = TopicPartition("t", 0)


class FakeConsumer:
    """A consumer whose polls a test decides."""

    def __init__(self) -> None:
        self.polls: list[object] = []  # an exception, or records
        self.commits: list[dict[TopicPartition, int]] = []
        self.commit_errors: list[BaseException] = []
        self.seeks: list[tuple[TopicPartition, int | None]] = []
        self.pauses: frozenset[TopicPartition] = frozenset()
        self.hangs = False
        self.commit_hangs = False

    async def getmany(self, timeout_ms, max_records):
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(0.001)
        answer = self.polls.pop(0) if self.polls else []
        if isinstance(answer, Exception):
            raise answer
        return {PLACE: answer} if answer else {}

    async def commit(self, offsets):
        if self.commit_hangs:
            await asyncio.Event().wait()
        if self.commit_errors:
            raise self.commit_errors.pop(0)
        self.commits.append(offsets)

    async def committed(self, place):
        return None

    async def beginning_offsets(self, places):
        return dict.fromkeys(places, 0)

    def seek(self, place, offset):
        self.seeks.append((place, offset))

    def assignment(self):
        return {PLACE}

    def paused(self):
        return self.pauses

    def pause(self, *places):
        self.pauses = self.pauses | set(places)

    def resume(self, *places):
        self.pauses = self.pauses - set(places)

    def highwater(self, place):
        return 100


def raw(offset):
    return SimpleNamespace(topic="t", partition=0, offset=offset, key=b"k", value=b"v", headers=(), timestamp=0)


def polling(consumer, recorder, exits, **options) -> Polling:
    made = Polling(engine(fine, recorder), stage="normalizer", group="g", commit_seconds=0.01, exit_process=exits.append, **options)
    made.bind(lambda: consumer)
    return made


def test_what_is_polled_is_handled_and_committed():
    async def run() -> None:
        consumer, recorder, exits = FakeConsumer(), MemoryRecorder(), []
        consumer.polls = [[raw(0), raw(1)], [raw(2)]]
        poll = polling(consumer, recorder, exits)
        poll.begin()
        await until(lambda: consumer.commits and consumer.commits[-1] == {PLACE: 3})
        await poll.finish()

        assert recorder.offsets == [0, 1, 2]
        assert exits == []

    asyncio.run(run())


def test_a_poll_that_never_ends_ends_the_process():
    async def run() -> None:
        consumer, exits = FakeConsumer(), []
        consumer.hangs = True
        poll = polling(consumer, MemoryRecorder(), exits, session_timeout_ms=20)
        poll.begin()
        await until(lambda: exits)
        poll._is_stopping = True  # do not wait for the poll that hangs
        await poll.finish()

        assert exits[0] == 70

    asyncio.run(run())


def test_polls_that_always_fail_end_the_process_too():
    async def run() -> None:
        consumer, exits = FakeConsumer(), []
        consumer.polls = [KafkaError() for _ in range(100)]
        poll = polling(consumer, MemoryRecorder(), exits, session_timeout_ms=20)
        poll.begin()
        await until(lambda: exits)
        await poll.finish()

        assert exits[0] == 70

    asyncio.run(run())


def test_a_poll_loop_that_ends_by_a_defect_ends_the_process_at_once():
    async def run() -> None:
        consumer, exits = FakeConsumer(), []
        consumer.polls = [KafkaError()]
        consumer.assignment = lambda: [None]  # the defect
        poll = polling(consumer, MemoryRecorder(), exits)
        poll.begin()
        await until(lambda: exits)
        await poll.finish()

        assert exits[0] == 70

    asyncio.run(run())


def test_a_worker_that_ends_by_a_defect_ends_the_process():
    """Its record, and all behind it, would wait for ever and in silence."""

    async def run() -> None:
        consumer, exits = FakeConsumer(), []
        consumer.polls = [[raw(0)]]
        poll = polling(consumer, MemoryRecorder(), exits)
        poll.engine.meters.note = None  # the defect
        poll.begin()
        await until(lambda: exits)
        await poll.finish()

        assert exits == [70]
        assert all(one == {PLACE: 0} for one in consumer.commits)

    asyncio.run(run())


def test_empty_polls_are_polls():
    async def run() -> None:
        consumer, exits = FakeConsumer(), []
        poll = polling(consumer, MemoryRecorder(), exits, session_timeout_ms=200)
        poll.begin()
        began = poll.last_poll
        await until(lambda: poll.last_poll > began + 0.7)
        await poll.finish()

        assert exits == []

    asyncio.run(run())


def test_after_a_failing_poll_all_is_read_again_from_what_the_engine_has_not():
    async def run() -> None:
        consumer, recorder, exits = FakeConsumer(), MemoryRecorder(), []
        consumer.polls = [KafkaError(), [raw(0), raw(1)], KafkaError(), [raw(1), raw(2)]]
        poll = polling(consumer, recorder, exits)
        poll.begin()
        await until(lambda: len(recorder.rows) == 3)
        await poll.finish()

        assert consumer.seeks == [(PLACE, 0), (PLACE, 2)]
        assert recorder.offsets == [0, 1, 2]

    asyncio.run(run())


def test_a_commit_that_is_refused_is_made_again():
    async def run() -> None:
        consumer, recorder, exits = FakeConsumer(), MemoryRecorder(), []
        consumer.polls = [[raw(0)]]
        consumer.commit_errors = [CommitFailedError(), KafkaError()]
        poll = polling(consumer, recorder, exits)
        poll.begin()
        await until(lambda: consumer.commits)
        await poll.finish()

        assert consumer.commits[0] == {PLACE: 1}

    asyncio.run(run())


def test_a_commit_that_hangs_ends_at_its_deadline_and_when_it_is_aborted():
    async def run() -> None:
        consumer = FakeConsumer()
        consumer.commit_hangs = True
        committer = Committer("g")

        assert not await committer.commit(consumer, {("t", 0): 1}, seconds=0.01)
        hanging = asyncio.create_task(committer.commit(consumer, {("t", 0): 1}, seconds=60))
        await asyncio.sleep(0.01)
        committer.abort()
        async with asyncio.timeout(5):
            assert not await hanging

    asyncio.run(run())


def test_revoked_partitions_are_committed_once_more_and_forgotten():
    async def run() -> None:
        consumer, recorder, exits = FakeConsumer(), MemoryRecorder(), []
        poll = polling(consumer, recorder, exits)
        await poll.on_partitions_assigned([PLACE])
        await poll.engine.submit([raw_record(0)])
        await until(lambda: recorder.rows)
        await poll.on_partitions_revoked([PLACE])

        assert consumer.commits == [{PLACE: 1}]
        assert poll.engine.mark_of(("t", 0)) is None
        await poll.finish()

    asyncio.run(run())


def test_a_partition_that_holds_its_share_of_the_room_waits_for_itself():
    async def run() -> None:
        consumer, delivery = FakeConsumer(), engine(_never, MemoryRecorder(), buffered_records=15, drain_seconds=0.01)
        brake = Brake(delivery)
        for offset in range(5):
            assert await brake.wait(consumer) == 1.0
            await delivery.submit([raw_record(offset)])

        assert await brake.wait(consumer) == 0.05
        assert consumer.pauses == {PLACE}
        delivery.partitions["t", 0].tracker.done(0)
        await brake.wait(consumer)
        assert consumer.pauses == {PLACE}
        for offset in (1, 2):
            delivery.partitions["t", 0].tracker.done(offset)
        await brake.wait(consumer)
        assert not consumer.pauses
        await delivery.stop()

    asyncio.run(run())


async def _never(_):
    await asyncio.Event().wait()


def raw_record(offset):
    from shared.delivery.polling import read_record

    return read_record(raw(offset))
