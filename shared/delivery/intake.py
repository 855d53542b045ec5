"""An engine as polling sees it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from shared.delivery.books import Place
from shared.delivery.records import Record
from shared.delivery.room import Room


class Intake(Protocol):
    """What takes the records of assigned partitions and says what may be committed."""

    @property
    def room(self) -> Room:
        """How much it holds."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether it takes records."""
        ...

    @property
    def is_stopped_by_refusals(self) -> bool:
        """Whether it gave up because too much was refused."""
        ...

    @property
    def has_broken(self) -> bool:
        """Whether a worker of it has ended by a defect: only a fresh process goes on."""
        ...

    def start(self) -> None:
        """Begin to work."""
        ...

    async def submit(self, records: Sequence[Record]) -> None:
        """Take records; return when there is room, or after a second."""
        ...

    def assigned(self, places: Iterable[Place]) -> None:
        """Partitions have become ours."""
        ...

    async def revoked(self, places: Iterable[Place], *, wait_seconds: float) -> Mapping[Place, int]:
        """Partitions go to others; the last marks."""
        ...

    def held(self, place: Place) -> int:
        """How many records of a partition are taken and not done."""
        ...

    def marks(self) -> Mapping[Place, int]:
        """Marks that have moved."""
        ...

    def next_of(self, place: Place) -> int | None:
        """The offset after the last one taken; None when none was."""
        ...

    def committed(self, marks: Mapping[Place, int]) -> None:
        """These are committed."""
        ...

    def mark_of(self, place: Place) -> int | None:
        """The first offset of a partition that is not done."""
        ...

    async def stop(self) -> Mapping[Place, int]:
        """Drain and stop; the last marks."""
        ...

    def publish_metrics(self) -> None:
        """Hand counts to Prometheus."""
        ...
