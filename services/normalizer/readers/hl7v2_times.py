"""HL7 v2 times: DTM, TS and DT as ISO 8601, in the precision and the zone that they came with."""

import re
from datetime import datetime
from functools import lru_cache

from services.normalizer.readers.hl7v2_codes import first_text
from shared.formats.hl7v2_separators import Separators

TIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?\d{0,5}(?:\.(\d{1,6})\d*)?([+-]\d{4})?$")
ISO_TIME = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6})\d*)?)?)?(Z|[+-]\d{2}:?\d{2})?$")


@lru_cache(maxsize=1024)
def read_time(written: str | None) -> str | None:
    """A DTM, TS or DT in ISO 8601, in the precision and the zone that it came with; None when it is no time."""
    if written is None:
        return None
    text = written.strip()
    match = TIME.match(text) or ISO_TIME.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), min(int(second or 0), 59))  # noqa: DTZ001
    except ValueError:
        return None
    date = "-".join(one for one in (year, month, day) if one)
    if hour is None:
        return date
    clock = ":".join([hour, minute or "00", *([second] if second else [])])
    return f"{date}T{clock}{'.' + fraction if fraction else ''}{_zone(zone)}"


def _zone(written: str | None) -> str:
    if written is None or written == "-0000":
        return ""
    if written == "Z" or ":" in written:
        return written
    return f"{written[:3]}:{written[3:]}"


@lru_cache(maxsize=1024)
def time_of(raw: str, separators: Separators) -> str | None:
    """A field that holds a time, as ISO 8601; None when it is none."""
    return read_time(first_text(raw, separators))
