"""How long to wait before the next try. Pure: chance comes in from outside."""

from collections.abc import Callable

from shared.errors import Unavailable

FIRST_PAUSE_SECONDS = 0.2
LONGEST_WISH_SECONDS = 900.0  # a target that asks for more is tried after this


def pause_seconds(
    pauses: int, outage: Unavailable, chance: Callable[[], float], *, longest: float, longest_wish: float = LONGEST_WISH_SECONDS
) -> float:
    """Full jitter over an exponential ceiling; never shorter than what the target asked for (within reason).

    `pauses` counts from 1; `chance` gives numbers in [0, 1).
    """
    ceiling = min(longest, FIRST_PAUSE_SECONDS * 2.0 ** min(pauses - 1, 30))
    jitter = chance() * ceiling
    wish = outage.retry_after_seconds
    if wish is None or not wish > 0:
        return jitter
    return min(wish, longest_wish) + min(jitter, 1.0)
