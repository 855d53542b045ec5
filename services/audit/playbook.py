"""Reasons as text in the log, and the play that belongs to each."""

from shared.outcomes import PLAYBOOK, Play, Reason


def play_of(reason: str | None) -> Play | None:
    """Who acts and what to do; None without a reason, and for a reason of a newer version that this one does not know."""
    try:
        return PLAYBOOK[Reason(reason)] if reason else None
    except ValueError:
        return None
