import asyncio

from shared.delivery.batches import BatchEngine
from shared.errors import Unavailable
from shared.settings import ServiceSettings
from tests.unit.shared.delivery.fakes import SETTINGS, record, until

PLACE = ("t", 0)


class Effect:
    """Keeps offsets with its rows; fails as a test wants."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.next = 0
        self.aside: list[int] = []
        self.poison: set[int] = set()
        self.failures: dict[int, list[BaseException]] = {}  # what happens when a batch begins at an offset
        self.aside_failures: list[BaseException] = []

    async def handle(self, place, records) -> int:
        await asyncio.sleep(0)
        waiting = self.failures.get(records[0].offset)
        if waiting:
            raise waiting.pop(0)
        if any(one.offset in self.poison for one in records):
            raise ValueError("poison")
        return self._keep(records)

    async def set_aside(self, one, defect) -> int:
        if self.aside_failures:
            raise self.aside_failures.pop(0)
        self.aside.append(one.offset)
        return self._keep([one])

    def _keep(self, records) -> int:
        if records[0].offset == self.next:
            self.rows += [one.offset for one in records]
            self.next = records[-1].offset + 1
        return self.next


def started(effect, **options) -> BatchEngine:
    made = BatchEngine(
        stage="audit",
        handler=effect.handle,
        on_poison=effect.set_aside,
        settings=ServiceSettings(**SETTINGS),
        **{"start_offset": None, **options},
    )
    made.start()
    return made


def test_an_outage_in_the_middle_of_isolating_goes_on_where_it_was():
    async def run() -> None:
        effect = Effect()
        effect.poison = {5}
        effect.failures = {3: [Unavailable("postgres")], 7: [Unavailable("postgres")]}
        effect.aside_failures = [Unavailable("postgres"), RuntimeError("a defect of the desk")]
        engine = started(effect)
        await engine.submit([record(number) for number in range(10)])
        await until(lambda: engine.mark_of(PLACE) == 10)

        assert effect.rows == list(range(10))
        assert effect.aside == [5]
        assert engine.room.records == 0
        assert await engine.stop() == {PLACE: 10}

    asyncio.run(run())


def test_seeking_is_insisted_on():
    async def run() -> None:
        effect = Effect()
        effect.next = 4
        effect.rows = [0, 1, 2, 3]
        seeks = []
        engine = started(effect)

        async def seek(place, offset):
            seeks.append(offset)
            if len(seeks) < 3:
                raise Unavailable("kafka")
            await engine.submit([record(number) for number in range(4, 10)])  # too early: ignored, and fetched after the seek

        engine.bind(seek)
        await engine.submit([record(0)])
        await until(lambda: len(seeks) == 3)
        await engine.submit([record(number) for number in range(4, 10)])
        await until(lambda: engine.mark_of(PLACE) == 10)

        assert seeks == [4, 4, 4]
        assert effect.rows == list(range(10))
        await engine.stop()

    asyncio.run(run())


def test_nothing_is_taken_before_the_effect_has_said_where_it_stands():
    async def run() -> None:
        effect = Effect()
        asked = asyncio.Event()

        async def start_offset(topic, partition):
            await asked.wait()
            return 3

        effect.next = 3
        engine = started(effect, start_offset=start_offset)
        engine.assigned([PLACE])
        await engine.submit([record(number) for number in range(5)])
        assert engine.held(PLACE) == 0
        asked.set()
        await until(lambda: engine.mark_of(PLACE) == 3)
        await engine.submit([record(number) for number in range(3, 5)])
        await until(lambda: engine.mark_of(PLACE) == 5)

        assert effect.rows == [3, 4]
        await engine.stop()

    asyncio.run(run())


def test_nothing_but_poison_stops_the_service():
    async def run() -> None:
        effect = Effect()
        effect.poison = set(range(100))
        engine = started(effect, poison_in_a_row=10)
        await engine.submit([record(number) for number in range(100)])
        await until(lambda: engine.is_stopped_by_refusals)

        assert not engine.is_ready
        await engine.stop()

    asyncio.run(run())


def test_a_batch_that_hangs_is_left_when_the_partition_is_revoked():
    async def run() -> None:
        engine = started(Effect())
        hangs = asyncio.Event()

        async def handle(place, records):
            hangs.set()
            await asyncio.Event().wait()
            return 0

        engine._handler = handle
        await engine.submit([record(0)])
        await hangs.wait()

        assert await engine.revoked([PLACE], wait_seconds=0.01) == {}
        assert engine.room.records == 0
        await engine.stop()

    asyncio.run(run())
