"""What the books need to know from Kafka: how far partitions reach, and what stands at offsets without a row."""

from collections.abc import AsyncIterator, Iterable, Mapping
from itertools import zip_longest

import stamina

from services.audit.bookkeeping import Gap, Span
from shared.delivery.records import Record
from shared.errors import Unavailable
from shared.kafka import committed_and_end_offsets, read_range

COORDINATOR_AWAY = frozenset(["GroupCoordinatorNotAvailableError", "GroupLoadInProgressError", "NotCoordinatorForGroupError"])
NEAR = 2000  # gaps of a partition closer than this are read in one go


async def read_spans(bootstrap: list[str], groups: Mapping[str, str]) -> list[Span]:
    """How far each partition of the topics reaches, and how far its group says it is. Raises Unavailable."""
    spans: list[Span] = []
    for group in sorted(set(groups.values())):
        async for attempt in stamina.retry_context(on=is_coordinator_away, attempts=10, timeout=15.0, wait_initial=0.2, wait_max=2.0):
            with attempt:
                found = await committed_and_end_offsets(bootstrap, group, [topic for topic in groups if groups[topic] == group])
        spans += [Span(topic, partition, begin, end, committed) for (topic, partition), (committed, begin, end) in found.items()]
    return sorted(spans)


def is_coordinator_away(error: Exception) -> bool:
    """A broker just started, or a group just moved: it answers in a moment."""
    return isinstance(error, Unavailable) and error.why in COORDINATOR_AWAY


async def read_gaps(bootstrap: list[str], gaps: Iterable[Gap]) -> AsyncIterator[Record]:
    """The records that stand at the gaps' offsets; offsets that hold none (markers, aborted or expired records) give nothing."""
    by_topic: dict[str, dict[int, list[list[Gap]]]] = {}
    for gap in sorted(gaps):
        clusters = by_topic.setdefault(gap.topic, {}).setdefault(gap.partition, [])
        if clusters and gap.first - clusters[-1][-1].last <= NEAR:
            clusters[-1].append(gap)
        else:
            clusters.append([gap])
    for topic, partitions in by_topic.items():
        for round_ in zip_longest(*partitions.values()):
            wanted = {cluster[0].partition: cluster for cluster in round_ if cluster}
            start = {partition: cluster[0].first for partition, cluster in wanted.items()}
            end = {partition: cluster[-1].last + 1 for partition, cluster in wanted.items()}
            at = dict.fromkeys(wanted, 0)
            async for record in read_range(bootstrap, topic, start=start, end=end, partitions=wanted):
                cluster = wanted[record.partition]
                while at[record.partition] < len(cluster) - 1 and record.offset > cluster[at[record.partition]].last:
                    at[record.partition] += 1
                if cluster[at[record.partition]].first <= record.offset <= cluster[at[record.partition]].last:
                    yield record
