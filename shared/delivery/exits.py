"""Why a process ends itself, as exit codes that the runbook explains."""

import os
import sys
from typing import NoReturn

WATCHDOG = 70  # polling stands still; a fresh process is the cure
REFUSALS = 71  # too much was refused; a person must look
OFFSETS_LOST = 72  # records that were never read are gone; a person must decide where to go on


def leave(code: int) -> NoReturn:
    """End the process now. Whatever is unfinished is done again by the next one."""
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)
