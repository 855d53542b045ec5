"""Changes of many lanes in one transaction: collected for a few milliseconds, applied together."""

from services.normalizer.registry.changes import Applied, Change
from services.normalizer.registry.store import PostgresRegistry
from shared.delivery import CoalescingWriter


class BatchingRegistry:
    """The registry as handlers see it, one change at a time."""

    def __init__(self, store: PostgresRegistry) -> None:
        self._store = store
        self._writer: CoalescingWriter[Change, Applied] = CoalescingWriter(store.apply_all, max_items=100)
        self._marker: CoalescingWriter[tuple[str, int], None] = CoalescingWriter(store.mark_published, max_items=500)
        self.find_alias = store.find_alias
        self.is_enrolled = store.is_enrolled

    async def apply(self, change: Change) -> Applied:
        """Apply one change. Raises Unavailable."""
        return await self._writer(change)

    async def mark_published(self, patient_key: str, revision: int) -> None:
        """Remember that the broker has acknowledged a snapshot. Raises Unavailable."""
        await self._marker((patient_key, revision))
