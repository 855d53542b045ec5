"""`make fuzz`: change and read inputs for SECONDS on every core; what breaks a reader is written to a folder, and the exit is 1."""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.fuzz.running import run


def main() -> None:
    """Fuzz on every core."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz")
    options.add_argument("--seconds", type=float, default=600)
    options.add_argument("--seed", type=int, default=int(time.time()))
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="healthcare-records-fuzz-"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print(f"{cores} processes, {chosen.seconds:.0f} s, seed {chosen.seed}; what breaks a reader goes to {folder}", flush=True)
    seeds = [chosen.seed + number for number in range(cores)]
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        counts = list(pool.map(run, seeds, [chosen.seconds] * cores, [folder] * cores))
    broken = sorted(path.name for path in folder.iterdir())
    print(f"{sum(counts)} inputs read, {len(broken)} ways to break a reader", *broken, sep="\n  ")
    if not broken:
        folder.rmdir()
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
