"""Keeps one child and goes with its parent: when the pipe to the parent closes, the child is stopped, however the parent ended.

    python keeper.py STOP_SIGNAL GRACE_SECONDS USER FOLDER COMMAND…      (USER `-`: as we are; standard input is the pipe)

SIGTERM asks for an orderly stop within GRACE_SECONDS, SIGUSR1 kills the child at once.
Standard library only and never imported: small, and fast to start.
"""

import ctypes
import os
import pwd
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
ORPHAN_SECONDS = 5.0  # for a child whose supervisor is gone


def die_with_keeper() -> None:
    """In the child, before it becomes the command: should the keeper be killed itself, the kernel stops the child (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Run until the child or the parent ends; returns the child's exit code."""
    stop, grace, user, folder, *command = sys.argv[1:]
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    asked: list[int] = []
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(one, lambda number, _: asked.append(number))
    signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake up
    account = {} if user == "-" else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=folder, preexec_fn=die_with_keeper, **account)  # type: ignore[call-overload]
    watched = [0, wake]
    deadline: float | None = None
    while child.poll() is None:
        pause = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable = select.select(watched, [], [], pause)[0]
        if wake in readable:
            os.read(wake, 4096)
        is_orphan = 0 in readable and not os.read(0, 1)
        if is_orphan:
            watched.remove(0)
        if (is_orphan or asked) and deadline is None and signal.SIGUSR1 not in asked:
            child.send_signal(getattr(signal, stop))
            deadline = time.monotonic() + float(grace)
        if is_orphan and deadline is not None:
            deadline = min(deadline, time.monotonic() + ORPHAN_SECONDS)
        if signal.SIGUSR1 in asked:
            deadline = 0.0
        if deadline is not None and time.monotonic() >= deadline:
            child.kill()
            deadline = None
            child.wait()
    code: int = child.returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
