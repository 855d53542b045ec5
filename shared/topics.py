"""Topics and consumer groups, in the order in which a document meets them (names, keys, retention: one place)."""

from dataclasses import dataclass, field

DAY_MS = 86_400_000
MAX_RECORD_BYTES = 10_485_760


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as `topics apply` creates and checks it. `partitions` is pinned: keys would change their partition."""

    name: str
    what: str
    key: str
    retention_days: int
    partitions: int = 12
    config: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str]:
        """The topic's configuration entries as Kafka names them."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_days * DAY_MS),
            "max.message.bytes": str(MAX_RECORD_BYTES),
            **self.config,
        }


PUBLISHED = Topic("document.published.v1", "the document's bytes as the provider has them", "any", 30)
RECEIVED = Topic("document.received.v1", "the same bytes, one document or message each", "patient key, else document id", 90)
REPLAYED = Topic(
    "document.replayed.v1", "as received, sent again by operations; yields to live traffic", "patient key, else document id", 7
)
NORMALIZED = Topic("document.normalized.v1", "canonical JSON: a patient's snapshot or one document", "patient key", 90)
OUTCOMES = Topic("outcome.recorded.v1", "JSON outcome of one event at one stage, no clinical content", "patient key, else document id", 90)
QUARANTINED = Topic("document.quarantined.v1", "JSON: coordinates, reason, where, reference to the bytes", "as the source, ids only", 365)
SYNC_REQUESTED = Topic("sync.requested.v1", "JSON request: a patient, a document or a filter", "patient key", 30, partitions=3)

TOPICS: tuple[Topic, ...] = (PUBLISHED, RECEIVED, REPLAYED, NORMALIZED, OUTCOMES, QUARANTINED, SYNC_REQUESTED)

# consumer groups, one for each service and topic
INGEST_GROUP = "healthcare-records.ingest"
SYNC_GROUP = "healthcare-records.ingest-sync"
NORMALIZER_GROUP = "healthcare-records.normalizer"
REPLAY_GROUP = "healthcare-records.normalizer-replay"
WRITER_GROUP = "healthcare-records.carepatron-writer"
AUDIT_GROUP = "healthcare-records.audit"
DESK_GROUP = "healthcare-records.audit-desk"
