"""The two exceptions of the house: an outage that passes, and a configuration that does not."""


class Unavailable(Exception):
    """Something outside is down, slow or asking us to wait; the same event is tried again later.

    `target` names what is away (`kafka`, `postgres`, `carepatron`, `content-store`) and never quotes content.
    `retry_after_seconds` is the target's own wish, already capped; None leaves the pause to the engine's back-off.
    `is_target_down` says that every event for this target will fail alike, so that the breaker opens at once.
    """

    def __init__(self, target: str, why: str = "", *, retry_after_seconds: float | None = None, is_target_down: bool = False) -> None:
        super().__init__(f"{target} is unavailable: {why}" if why else f"{target} is unavailable")
        self.target = target
        self.why = why
        self.retry_after_seconds = retry_after_seconds
        self.is_target_down = is_target_down


class Misconfigured(Exception):
    """The service cannot start as it is configured; the message says what to change."""
