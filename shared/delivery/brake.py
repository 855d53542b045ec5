"""Back-pressure on a consumer: partitions are paused and polled all the same, so that membership stays and memory is bounded."""

from aiokafka import AIOKafkaConsumer

from shared.delivery.intake import Intake

FULL_SECONDS = 1.0  # between two empty polls while there is no room
PAUSED_SECONDS = 0.05  # between two polls while some partitions wait
POLL_SECONDS = 1.0
SHARE = 3  # a third of the room is the most for one partition, half of that for one poll
MAX_POLL = 500  # a fetch may hold any number of records, and taking all at once would keep the event loop from its heartbeats


class Brake:
    """Pauses everything while the engine is full, and a partition that alone holds a third of what may be held.

    A key whose target is away makes its partition wait in the end; what is left keeps the others going.
    Pausing throws away what the client has fetched ahead, so there is a span between pausing and resuming.
    """

    def __init__(self, engine: Intake) -> None:
        self._engine = engine
        self._is_full = False

    @property
    def max_records(self) -> int:
        """How many records one poll may bring."""
        return max(1, min(MAX_POLL, self._engine.room.max_records // (2 * SHARE)))

    def release(self) -> None:
        """Partitions were assigned anew: none of them is paused."""
        self._is_full = False

    async def wait(self, consumer: AIOKafkaConsumer) -> float:
        """Pause and resume what has to be; how long the next poll may wait for records."""
        room = self._engine.room
        if self._is_full or room.is_full:
            if not self._is_full:
                self._is_full = True
                consumer.pause(*consumer.assignment())
            if not await room.wait(FULL_SECONDS, low=True):
                return 0.0
            self._is_full = False
        most = room.max_records // SHARE
        paused = consumer.paused()
        for place in consumer.assignment():
            held = self._engine.held((place.topic, place.partition))
            if place in paused:
                if held <= most // 2:
                    consumer.resume(place)
            elif held >= most:
                consumer.pause(place)
        return PAUSED_SECONDS if consumer.paused() else POLL_SECONDS
