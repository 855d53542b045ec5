"""How far a consumer is behind, looked up now and then."""

from collections.abc import Callable

from aiokafka import AIOKafkaConsumer

from shared import metrics

EVERY_SECONDS = 5.0


class LagMeter:
    """Sets the lag gauge of each assigned partition from what the broker said with its last fetch; no extra requests."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._last = 0.0
        self._shown: set[tuple[str, str]] = set()

    def forget(self) -> None:
        """Partitions have changed hands: take down what stands there for them."""
        for topic, partition in self._shown:
            metrics.LAG.remove(self._stage, topic, partition)
        self._shown.clear()

    def measure(self, consumer: AIOKafkaConsumer, mark_of: Callable[[tuple[str, int]], int | None], now: float) -> None:
        """Measure again when it is time: the end of each partition less its mark."""
        if now - self._last < EVERY_SECONDS:
            return
        self._last = now
        for place in consumer.assignment():
            end = consumer.highwater(place)
            if end is None:
                continue
            mark = mark_of((place.topic, place.partition))
            label = (place.topic, str(place.partition))
            metrics.LAG.labels(self._stage, *label).set(0 if mark is None else max(0, end - mark))
            self._shown.add(label)
