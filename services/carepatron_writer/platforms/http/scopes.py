"""What one operation, or a whole account, waits for: pauses that were asked for, and a breaker with one probe at a time. Pure."""

FAILURES = 10  # outages of an operation in a row, while others of the account work
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 10.0
PROBE_SECONDS = 1.0  # how long others wait while a probe is on its way
NEVER = float("-inf")


class Scope:
    """Closed until too many requests in a row fail; then closed again by the first that comes through."""

    __slots__ = ("_failures", "_is_open", "_is_probing", "_pause_seconds", "_since", "paused_until", "succeeded_at")

    def __init__(self) -> None:
        self.paused_until = NEVER
        self.succeeded_at = NEVER
        self._failures = 0
        self._since = NEVER  # when the first of them was seen
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._is_open = False
        self._is_probing = False

    def pause(self, until: float) -> None:
        """The platform asked for it; a longer pause stands."""
        self.paused_until = max(self.paused_until, until)

    def wait_seconds(self, now: float) -> float:
        """How long a request has to wait."""
        if now < self.paused_until:
            return self.paused_until - now
        return PROBE_SECONDS if self._is_probing else 0.0

    def begin(self) -> bool:
        """A request goes; True when it is the probe, and others wait until it has ended."""
        if self._is_open:
            self._is_probing = True
        return self._is_probing

    def end_probe(self) -> None:
        """The probe is over, whatever came of it."""
        self._is_probing = False

    def succeed(self, now: float) -> None:
        """It works."""
        self.succeeded_at = now
        if self._failures:
            self._failures = 0
            self._is_open = False
            self._pause_seconds = FIRST_PAUSE_SECONDS

    def fail(self, now: float, *, last_success_elsewhere: float) -> None:
        """It does not. When nothing else works either, the whole account is away, which the delivery engine sees by itself."""
        if self._failures == 0:
            self._since = now
        self._failures += 1
        if self._failures < FAILURES or last_success_elsewhere < self._since:
            return
        if self._is_open and now >= self.paused_until:  # the probe, not one that was on its way when the pause began
            self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        self._is_open = True
        self.pause(now + self._pause_seconds)
