"""Keeps one child and goes with its parent: when the pipe to the parent closes, the child is stopped, however the parent ended.

    python keeper.py STOP_SIGNAL GRACE_SECONDS USER COMMAND…      (USER `-`: as we are; standard input is the pipe)

Standard library only and never imported: it must be small and start fast.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1


def die_with_keeper() -> None:
    """In the child, before it becomes the command: should the keeper be killed itself, the kernel stops the child (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Run until the child or the parent ends; returns the child's exit code."""
    stop, grace, user, *command = sys.argv[1:]
    os.setpgid(0, 0)  # Ctrl-C of the terminal is for the parent, which stops us in order
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, ask)
    account = {} if user == "-" else {"user": user, "group": user, "extra_groups": []}
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_keeper, **account)  # type: ignore[call-overload]
    deadline: float | None = None
    while child.poll() is None:
        readable, _, _ = select.select([0], [], [], 0.1)
        if deadline is None and (asked or (readable and not os.read(0, 1))):
            child.send_signal(getattr(signal, stop))
            deadline = time.monotonic() + float(grace)
        elif deadline is not None:
            time.sleep(0.02)
            if time.monotonic() > deadline:
                child.kill()
    code = int(child.returncode)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
