"""Why a process ends itself, as exit codes that the runbook explains."""

import asyncio
import os
import sys
from typing import NoReturn

from shared.logs import defect_of, get_logger

WATCHDOG = 70  # polling stands still or a worker broke; a fresh process is the cure
REFUSALS = 71  # too much was refused; a person must look
OFFSETS_LOST = 72  # records that were never read are gone; a person must decide where to go on

logger = get_logger(__name__)


def leave(code: int) -> NoReturn:
    """End the process now. Whatever is unfinished is done again by the next one."""
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)


def has_broken(worker: "asyncio.Task[None]", stage: str) -> bool:
    """Whether a worker has ended by a defect of the engine's own: its record, and all behind it, would wait for ever."""
    error = None if worker.cancelled() else worker.exception()
    if error is not None:
        logger.critical("worker_broken", stage=stage, defect=defect_of(error))
    return error is not None
