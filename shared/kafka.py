"""Kafka beside the stream: topics applied and checked, offsets looked up, single records and ranges read. No group, no commits."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, TopicAlreadyExistsError, for_code

from shared.delivery.records import Record
from shared.delivery.salvage import read_next, step_over
from shared.delivery.salvage import read_record as read_record_of
from shared.errors import Misconfigured, Unavailable
from shared.identity import parse_coordinates
from shared.topics import TOPICS, Topic

TARGET = "kafka"
REQUEST_TIMEOUT_MS = 15_000
READ_SECONDS = 15.0
REPLICAS = 3  # of each partition, where there are as many brokers
NUMBERS_TO_RAISE = ("retention.ms", "max.message.bytes")  # more of these is always safe
DYNAMIC_TOPIC_CONFIG = 1  # `config_source` of what was set on the topic itself

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class TopicChange:
    """What `apply_topics` did or found: created, raised, unchanged, or differs (left alone, for a person to decide)."""

    topic: str
    what: str
    setting: str | None = None
    found: str | None = None
    wanted: str | None = None


async def apply_topics(bootstrap: list[str], topics: Sequence[Topic] = TOPICS) -> list[TopicChange]:
    """Create the topics that are missing, raise limits that are too low, report what differs. Nothing is ever lowered or deleted.

    Raises Misconfigured when a topic has another number of partitions than pinned (keys would change theirs), Unavailable without a broker.
    """
    async with _admin(bootstrap) as admin:
        found = await _partition_counts(admin, [one.name for one in topics])
        _check_counts(topics, found)
        missing = [one for one in topics if one.name not in found]
        changes = await _create(admin, missing)
        for topic in topics:
            if topic.name in found:
                changes += await _adjust(admin, topic)
        return changes


async def check_topics(bootstrap: list[str], topics: Sequence[Topic] = TOPICS) -> None:
    """At a service's start: raises Misconfigured when a topic is missing or its number of partitions is not the pinned one."""
    async with _admin(bootstrap) as admin:
        found = await _partition_counts(admin, [one.name for one in topics])
    _check_counts(topics, found)
    missing = sorted(one.name for one in topics if one.name not in found)
    if missing:
        raise Misconfigured(f"topics are missing: {', '.join(missing)}; run `healthcare-records topics apply`")


async def committed_and_end_offsets(bootstrap: list[str], group: str, topics: Iterable[str]) -> dict[Place, tuple[int | None, int, int]]:
    """For each partition: what the group has committed (None: nothing yet), where it begins and where it ends."""
    async with _admin(bootstrap) as admin, _consumer(bootstrap) as consumer:
        counts = await _partition_counts(admin, list(topics))
        places = [TopicPartition(topic, partition) for topic, count in counts.items() for partition in range(count)]
        committed = await _committed(admin, group, places)
        begin = await consumer.beginning_offsets(places)
        end = await consumer.end_offsets(places)
    return {(one.topic, one.partition): (_offset(committed.get(one)), begin[one], end[one]) for one in places}


async def read_record(bootstrap: list[str], coordinates: str) -> Record | None:
    """The record at `topic/partition/offset`; None when Kafka does not have it (any more)."""
    async with aclosing(read_records(bootstrap, [coordinates])) as found:
        async for _, record in found:
            return record
    return None


async def read_records(bootstrap: list[str], coordinates: Iterable[str]) -> AsyncGenerator[tuple[str, Record | None], None]:
    """Each of the coordinates with its record, in the order given; seeks straight to them. Raises ValueError for bad coordinates."""
    wanted = [(one, *parse_coordinates(one)) for one in coordinates]
    if not wanted:
        return
    async with _consumer(bootstrap) as consumer:
        counts = await _counts(bootstrap, {topic for _, topic, _, _ in wanted})
        places = sorted({TopicPartition(topic, partition) for _, topic, partition, _ in wanted if partition in range(counts.get(topic, 0))})
        consumer.assign(places)
        ends = await _ends(consumer, places)
        for text, topic, partition, offset in wanted:
            place = TopicPartition(topic, partition)
            begin, end = ends.get(place, (0, 0))
            if not begin <= offset < end:
                yield text, None
                continue
            yield text, await _read_at(consumer, place, offset)


async def read_range(
    bootstrap: list[str],
    topic: str,
    *,
    start: Mapping[int, int] | None = None,
    end: Mapping[int, int] | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    partitions: Iterable[int] | None = None,
) -> AsyncGenerator[Record, None]:
    """The records of a topic, in order for each partition, up to the ends as they are now.

    `start` and `end` are offsets by partition (end excluded); `since_ms` and `until_ms` are record times (until excluded).
    Who leaves the loop early closes the generator (`contextlib.aclosing`), and with it the connection.
    """
    async with _consumer(bootstrap) as consumer:
        count = (await _counts(bootstrap, [topic])).get(topic, 0)
        chosen = range(count) if partitions is None else sorted(set(partitions) & set(range(count)))
        places = [TopicPartition(topic, one) for one in chosen]
        if not places:
            return
        consumer.assign(places)
        bounds = await _bounds(consumer, places, start or {}, end or {}, since_ms, until_ms)
        for place, (first, _) in bounds.items():
            consumer.seek(place, first)
        at = {place: first for place, (first, _) in bounds.items()}
        left = {place: last for place, (first, last) in bounds.items() if first < last}
        while left:
            for one in await _poll(consumer, at, list(left)):
                place = TopicPartition(one.topic, one.partition)
                at[place] = one.offset + 1
                if place in left and one.offset < left[place] and (until_ms is None or one.timestamp_ms < until_ms):
                    yield one
            for place in list(left):
                if await consumer.position(place) >= left[place]:
                    del left[place]


# --- inside ---


@asynccontextmanager
async def _admin(bootstrap: list[str]) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
    async with _translated():
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()


@asynccontextmanager
async def _consumer(bootstrap: list[str]) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        max_partition_fetch_bytes=262_144,
    )
    async with _translated():
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise Unavailable(TARGET, type(error).__name__) from error


async def _partition_counts(admin: Any, names: list[str]) -> dict[str, int]:
    """The number of partitions of those topics that exist."""
    described = await admin.describe_topics(names)
    return {one["topic"]: len(one["partitions"]) for one in described if one["error_code"] == 0}


def _check_counts(topics: Sequence[Topic], found: Mapping[str, int]) -> None:
    for topic in topics:
        count = found.get(topic.name)
        if count is not None and count != topic.partitions:
            raise Misconfigured(
                f"topic {topic.name} has {count} partitions and {topic.partitions} are pinned: its keys have moved. "
                "Stop, and restore the topic or migrate to a new one"
            )


async def _create(admin: Any, topics: Sequence[Topic]) -> list[TopicChange]:
    if not topics:
        return []
    brokers = len((await admin.describe_cluster())["brokers"])
    replicas = min(REPLICAS, brokers)
    safety = {"min.insync.replicas": "2"} if replicas >= REPLICAS else {}
    response = await admin.create_topics(
        [
            NewTopic(name=one.name, num_partitions=one.partitions, replication_factor=replicas, topic_configs={**safety, **one.settings})
            for one in topics
        ]
    )
    changes = []
    for error in response.to_object()["topic_errors"]:
        kind = for_code(error["error_code"])
        if error["error_code"] and kind is not TopicAlreadyExistsError:  # somebody else may have been faster
            raise Misconfigured(f"topic {error['topic']} cannot be created: {kind.__name__}")
        changes.append(TopicChange(error["topic"], "created"))
    await _wait_until_known(admin, {one.name for one in topics})
    return changes


async def _wait_until_known(admin: Any, names: set[str]) -> None:
    """A topic that was just created is not known to every broker at once."""
    async with asyncio.timeout(READ_SECONDS):
        while True:
            described = await admin.describe_topics(sorted(names))
            if all(one["error_code"] == 0 and all(part["leader"] >= 0 for part in one["partitions"]) for one in described):
                return
            await asyncio.sleep(0.1)


async def _adjust(admin: Any, topic: Topic) -> list[TopicChange]:
    """Raise what may be raised; report the rest."""
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name)])
    entries = responses[0].to_object()["resources"][0]["config_entries"]
    now = {one["config_names"]: one["config_value"] for one in entries}
    own = {one["config_names"]: one["config_value"] for one in entries if one["config_source"] == DYNAMIC_TOPIC_CONFIG}
    changes: list[TopicChange] = []
    for name, wanted in topic.settings.items():
        found = now.get(name)
        if found == wanted:
            continue
        is_raise = name in NUMBERS_TO_RAISE and found is not None and _is_less(found, wanted)
        changes.append(TopicChange(topic.name, "raised" if is_raise else "differs", name, found, wanted))
        if is_raise:
            own[name] = wanted
    if any(one.what == "raised" for one in changes):
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, own)])  # replaces all: so all are given
    return changes or [TopicChange(topic.name, "unchanged")]


def _is_less(found: str, wanted: str) -> bool:
    """Compare two limits, of which -1 is none."""
    return found != "-1" and (wanted == "-1" or int(found) < int(wanted))


async def _committed(admin: Any, group: str, places: list[TopicPartition]) -> dict[TopicPartition, Any]:
    """A coordinator that is just being elected is waited for: a fresh cluster has none until the first group asks."""
    if not places:
        return {}
    async with asyncio.timeout(READ_SECONDS):
        while True:
            try:
                found: dict[TopicPartition, Any] = await admin.list_consumer_group_offsets(group, partitions=places)
                return found
            except KafkaError as error:
                if not error.retriable:
                    raise
            await asyncio.sleep(0.2)


def _offset(committed: Any) -> int | None:
    return None if committed is None or committed.offset < 0 else int(committed.offset)


async def _counts(bootstrap: list[str], topics: Iterable[str]) -> dict[str, int]:
    async with _admin(bootstrap) as admin:
        return await _partition_counts(admin, list(topics))


async def _ends(consumer: Any, places: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
    """Beginning and end of each place."""
    begin = await consumer.beginning_offsets(places)
    end = await consumer.end_offsets(places)
    return {one: (begin[one], end[one]) for one in places}


async def _bounds(
    consumer: Any,
    places: Sequence[TopicPartition],
    start: Mapping[int, int],
    end: Mapping[int, int],
    since_ms: int | None,
    until_ms: int | None,
) -> dict[TopicPartition, tuple[int, int]]:
    """First offset and end (excluded) of what is wanted of each place, inside what there is."""
    ends = await _ends(consumer, places)
    since = await consumer.offsets_for_times(dict.fromkeys(places, since_ms)) if since_ms is not None else {}
    bounds = {}
    for place in places:
        first, last = ends[place]
        if since_ms is not None:
            first = since[place].offset if since.get(place) is not None else last
        first = max(first, start.get(place.partition, 0))
        bounds[place] = (first, min(last, end.get(place.partition, last)))
    return bounds


async def _read_at(consumer: Any, place: TopicPartition, offset: int) -> Record | None:
    consumer.seek(place, offset)
    try:
        polled = await consumer.getmany(place, timeout_ms=int(READ_SECONDS * 1000), max_records=1)
    except OffsetOutOfRangeError:  # retention passed it between two lines
        return None
    except UnicodeDecodeError:
        found = await read_next(consumer, place, offset)
        return found if found is not None and found.offset == offset else None
    for one in polled.get(place, ()):
        return read_record_of(one) if one.offset == offset else None
    raise Unavailable(TARGET, "no answer to a read")


async def _poll(consumer: Any, at: Mapping[TopicPartition, int], places: list[TopicPartition]) -> list[Record]:
    """The next records; one that the client cannot decode is read all the same, and nothing that was read with it is lost."""
    try:
        polled = await consumer.getmany(*places, timeout_ms=1000, max_records=500)
    except UnicodeDecodeError:
        for place in places:
            consumer.seek(place, at[place])
        found: list[Record] = []

        async def keep(records: Sequence[Record]) -> None:
            found.extend(records)

        await step_over(consumer, keep)
        return found
    return [read_record_of(one) for records in polled.values() for one in records]
