"""What may differ between platforms or accounts, as switches of the sandbox: `POST /sandbox/switches`. Not kept over a restart."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

LONGEST_SECONDS = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Switches:
    """The default is the contract to the letter."""

    upsert: bool = True  # False: no operation by our reference; documents are made by POST and changed by their own id
    requires_key: bool = False  # True: every POST that makes something needs an Idempotency-Key, not only sharing
    quota_bytes: int | None = None  # storage of an account; none: no limit
    locked: tuple[str, ...] = ()  # documents that somebody else is working on, by reference or id: 423
    processing_seconds: float = 0.0  # how long a POST is under way: its Idempotency-Key is in use meanwhile
    export_queued_seconds: float = 0.2
    export_running_seconds: float = 0.3
    export_life_seconds: float = 3600.0  # of the finished file
    export_fails: bool = False

    def changed(self, wishes: Mapping[str, Any]) -> "Switches":
        """With other values. Raises ValueError for unknown names and wrong values."""
        for name, value in wishes.items():
            if not _is_right(name, value):
                raise ValueError(name)
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in wishes.items()}
        return replace(self, **values)

    def as_json(self) -> dict[str, Any]:
        """All of them."""
        return asdict(self)


def _is_right(name: str, value: Any) -> bool:
    match name:
        case "upsert" | "requires_key" | "export_fails":
            return isinstance(value, bool)
        case "quota_bytes":
            return value is None or (type(value) is int and value >= 0)
        case "locked":
            return isinstance(value, list) and all(isinstance(one, str) for one in value)
        case "processing_seconds" | "export_queued_seconds" | "export_running_seconds" | "export_life_seconds":
            return type(value) in (int, float) and 0 <= value <= LONGEST_SECONDS
    return False
