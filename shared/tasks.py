"""Where every task of a service waits, for the person who asks why nothing moves: `kill -USR1 PID` writes it to the log."""

import asyncio
from typing import Any

from shared.logs import get_logger

DEEPEST = 12
logger = get_logger(__name__)


def log_tasks() -> None:
    """A line for each task: the functions that wait, the outermost first. Places in the code only, never what they handle."""
    tasks = asyncio.all_tasks()
    for task in sorted(tasks, key=lambda one: one.get_name()):
        logger.info("task_waits", task=task.get_name(), at=" > ".join(_places(task.get_coro())))
    logger.info("tasks_listed", count=len(tasks))


def _places(waiting: Any) -> list[str]:
    """Function and line of a coroutine, of what it awaits, and so on."""
    places: list[str] = []
    while waiting is not None and len(places) < DEEPEST:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None) or getattr(waiting, "ag_frame", None)
        if frame is not None:
            places.append(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}:{frame.f_lineno}")
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None) or getattr(waiting, "ag_await", None)
    return places
