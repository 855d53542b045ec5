"""What goes wrong, as data: one plan for each kind of bad day; several hold together."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from services.carepatron_writer.platforms.carepatron.sandbox.limits import FORMS

PROFILES = (
    "none",  # all is well
    "carepatron-exercise",  # 503 at once for half of the requests, 10 s for the others: the vendor's public exercises
    "hang",  # accepts, never answers
    "wrong-id",  # what POST answers names another id than the one that it stored
    "throttle",  # 429 with Retry-After in all its forms
    "401-as-throttle",  # 401 although the key is right: "later"
    "merge",  # the clinic merges the contact that is asked about into another one
    "lost-ack",  # does it, then answers 503 or resets the connection
    "unauthorized",  # 401, as after a key was changed
    "token-expiry",  # the key expires after some requests and stays so until it is changed
    "slow",  # answers late
    "trickle",  # does it, then answers a byte at a time
    "broken-answer",  # does it, then answers 200 with HTML, nothing, or half of it
    "redirect",  # 307 to another host
    "huge-answer",  # does it, then answers without end
    "many-headers",  # does it and answers with 10,000 headers, cookies among them
    "gzip-bomb",  # does it, then answers with little that becomes much
    "down",  # 503
)
GIB = 1 << 30
USUAL: Mapping[str, Mapping[str, Any]] = {
    "carepatron-exercise": {"rate": 0.5, "seconds": 10.0},
    "merge": {"times": 1},
    "token-expiry": {"every": 20},
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes wrong, how often (0 to 1), for which requests, and how much."""

    profile: str = "none"
    rate: float = 1.0  # part of the requests; of `carepatron-exercise`: those that fail, the others are late
    only: str = ""  # requests whose path contains this
    method: str = ""  # requests with this method; none: all
    after: int = 0  # so many matching requests go well before
    times: int | None = None  # so often at most; none: for ever
    seconds: float = 1.0  # how late `slow` is, how long `throttle` asks to wait, the pause between bytes of `trickle`
    form: str = ""  # of the wish of `throttle`; none: all of them, one after the other
    every: int = 1  # of `token-expiry`: requests that a key is good for
    size: int = GIB  # of `huge-answer` and `gzip-bomb`, in bytes
    to: str = "https://elsewhere.example"  # where `redirect` leads
    moves: bool = True  # of `merge`: documents and references move along

    @classmethod
    def read(cls, text: str) -> tuple["Plan", ...]:
        """`profile`, `profile:rate`, several with commas between them; raises ValueError."""
        found = []
        for one in text.split(","):
            profile, _, rate = one.strip().partition(":")
            found.append(cls.check({"profile": profile, "rate": float(rate)} if rate else {"profile": profile}))
        return tuple(found)

    @classmethod
    def check(cls, body: Mapping[str, Any]) -> "Plan":
        """A plan from JSON; raises ValueError."""
        known = {one.name: one for one in fields(cls)}
        said = {**USUAL.get(str(body.get("profile")), {}), **body}
        for name, value in said.items():
            if name not in known or not _is_right(name, value):
                raise ValueError(f"{name} is unknown or out of range")
        return replace(cls(), **said)

    def as_json(self) -> dict[str, Any]:
        """The plan."""
        return asdict(self)


def plans_in(body: Mapping[str, Any]) -> tuple[Plan, ...]:
    """One plan, or `{"plans": […]}`; raises ValueError."""
    if "plans" not in body:
        return (Plan.check(body),)
    plans = body["plans"]
    if not isinstance(plans, list) or not all(isinstance(one, dict) for one in plans) or len(body) > 1:
        raise ValueError("plans must be a list of plans")
    return tuple(Plan.check(one) for one in plans)


def _is_right(name: str, value: Any) -> bool:
    is_number = type(value) in (int, float)
    match name:
        case "profile":
            return value in PROFILES
        case "rate":
            return is_number and 0 <= value <= 1
        case "seconds":
            return is_number and 0 <= value <= 3600
        case "after" | "size":
            return type(value) is int and value >= 0
        case "every":
            return type(value) is int and value > 0
        case "times":
            return value is None or (type(value) is int and value >= 0)
        case "form":
            return value in ("", *FORMS)
        case "moves":
            return isinstance(value, bool)
    return isinstance(value, str)
