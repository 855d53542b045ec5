"""Source times as one sortable text, whatever precision and zone they came with."""

import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from shared.identity import source_version

_ISO = re.compile(
    r"(?P<y>\d{4})(?:-(?P<mo>\d{2})(?:-(?P<d>\d{2})(?:[T ](?P<h>\d{2})(?::(?P<mi>\d{2})(?::(?P<s>\d{2})(?:\.(?P<f>\d{1,9}))?)?)?)?)?)?"
    r"(?P<z>Z|[+-]\d{2}:?\d{2})?$"
)


def sortable_time(text: str | None, time_zone: str) -> str:
    """`YYYYMMDDTHHMMSS.ffffffZ` in UTC; missing parts count from their start, an unreadable or absent time sorts first."""
    try:
        return source_version("t", edited_at=moment(text, time_zone)).split(":")[2]
    except OverflowError:  # year 1 or 9999 at the edge of the calendar
        return source_version("t").split(":")[2]


def moment(text: str | None, time_zone: str) -> datetime | None:
    """The moment at which an ISO 8601 text begins, whatever its precision; without a zone it takes the provider's. None when it is none."""
    found = _parse(text, ZoneInfo(time_zone)) if text else None
    try:
        return found and found.astimezone(UTC) and found
    except OverflowError:  # year 1 or 9999 at the edge of the calendar
        return None


def _parse(text: str, zone: tzinfo) -> datetime | None:
    """The moment that an ISO 8601 text of any precision begins at; None when it is none."""
    match = _ISO.match(text.strip())
    if match is None:
        return None
    part = match.groupdict()
    try:
        begin = datetime(  # noqa: DTZ001  # the zone follows below
            int(part["y"]),
            int(part["mo"] or 1),
            int(part["d"] or 1),
            int(part["h"] or 0),
            int(part["mi"] or 0),
            min(int(part["s"] or 0), 59),
            int((part["f"] or "0").ljust(6, "0")[:6]),
        )
        written = part["z"]
        if written is None:
            return begin.replace(tzinfo=zone)
        offset = "+00:00" if written == "Z" else written if ":" in written else f"{written[:3]}:{written[3:]}"
        return begin.replace(tzinfo=datetime.fromisoformat(f"2000-01-01T00:00:00{offset}").tzinfo)
    except ValueError:
        return None
