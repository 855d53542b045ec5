"""The delivery engine: how records reach handlers, and how what became of them is recorded, without losing one."""

from shared.delivery.breaker import BreakerLimits
from shared.delivery.coalescing import CoalescingWriter
from shared.delivery.engine import DeliveryEngine
from shared.delivery.producer import Producer, RecordTooLarge
from shared.delivery.recorder import OutcomeRecorder
from shared.delivery.records import Handler, Record
from shared.delivery.refusals import RefusalLimits
from shared.delivery.subscription import PartitionBatchSubscription, subscribe
from shared.delivery.tracker import PartitionTracker

__all__ = [
    "BreakerLimits",
    "CoalescingWriter",
    "DeliveryEngine",
    "Handler",
    "OutcomeRecorder",
    "PartitionBatchSubscription",
    "PartitionTracker",
    "Producer",
    "Record",
    "RecordTooLarge",
    "RefusalLimits",
    "subscribe",
]
