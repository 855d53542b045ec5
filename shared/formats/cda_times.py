"""HL7 times (TS) as ISO 8601 with the precision and zone they came with."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

_TS = re.compile(
    r"(?P<y>\d{4})(?P<mo>\d\d)?(?P<d>\d\d)?(?P<h>\d\d)?(?P<mi>\d\d)?(?P<s>\d\d)?(?P<rest>\d?)(?P<f>\.\d*)?"
    r"(?P<z>Z|[+-]\d\d(?::?\d\d)?)?$"
)
_ISO = re.compile(
    r"(?P<y>\d{4})-(?P<mo>\d\d)(?:-(?P<d>\d\d)(?:[T ](?P<h>\d\d)(?::(?P<mi>\d\d)(?::(?P<s>\d\d)(?P<rest>)(?P<f>\.\d*)?)?)?)?)?"
    r"\s?(?P<z>Z|[+-]\d\d(?::?\d\d)?)?$"
)
_MAX_TIME = 40
_PARTS = ("y", "mo", "d", "h", "mi", "s")


@dataclass(frozen=True, slots=True)
class Time:
    """An HL7 time: ISO 8601 with the precision it came with, and the moment it begins at (aware)."""

    text: str
    moment: datetime
    time_without_zone: bool = False  # the provider's zone was added
    is_cut: bool = False  # a part behind a readable beginning was left out


def read_time(value: str | None, time_zone: str) -> Time | None:
    """HL7 TS (or ISO 8601) with its precision and zone; None when no year can be read. A time without a zone gets `time_zone`."""
    if value is None or len(value) > _MAX_TIME:
        return None
    match = _TS.match(value.strip()) or _ISO.match(value.strip())
    if match is None:
        return None
    part = match.groupdict()
    numbers = [int(part[one]) for one in _PARTS if part[one] is not None]
    is_cut = bool(part["rest"])
    moment = _moment(numbers)
    while moment is None and len(numbers) > 1:  # 20130231 or 2013071799: keep what stands before the impossible part
        is_cut = True
        numbers.pop()
        moment = _moment(numbers)
    if moment is None:
        return None
    return _with_zone(part, numbers, moment, time_zone, is_cut)


def _moment(numbers: list[int]) -> datetime | None:
    try:
        return datetime(*(numbers + [1, 1][max(0, len(numbers) - 1) :]))  # type: ignore[arg-type]  # noqa: DTZ001  # the zone follows
    except ValueError:
        return None


def _with_zone(part: dict[str, str | None], numbers: list[int], moment: datetime, time_zone: str, is_cut: bool) -> Time:
    written = [part[one] or "" for one in _PARTS[: len(numbers)]]
    text = "-".join(written[:3])
    if len(numbers) < 4:
        return Time(text, moment.replace(tzinfo=ZoneInfo(time_zone)), False, is_cut)
    text += "T" + ":".join(written[3:])
    fraction = (part["f"] or "").removeprefix(".")
    if fraction and len(numbers) == 6:
        text += f".{fraction}"
        moment = moment.replace(microsecond=int(fraction.ljust(6, "0")[:6]))
    offset = _offset(part["z"])
    if offset is None:
        aware = moment.replace(tzinfo=ZoneInfo(time_zone))
        return Time(text + _offset_text(aware), aware, True, is_cut)
    aware = moment.replace(tzinfo=offset)
    return Time(text + ("Z" if part["z"] == "Z" else _offset_text(aware)), aware, False, is_cut)


def _offset(written: str | None) -> timezone | None:
    if written is None:
        return None
    if written == "Z":
        return UTC
    digits = written[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 14 or minutes > 59:
        return None
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if written[0] == "-" else span)


def _offset_text(moment: datetime) -> str:
    minutes = round((moment.utcoffset() or timedelta()).total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
