"""One process of the fuzzer."""

import hashlib
import random
import time
import traceback
from pathlib import Path

from tests.fuzz.checks import check, corpus
from tests.fuzz.mutations import mutated

KEPT = 2000  # inputs that led somewhere new, kept as a start for further ones


def run(seed: int, seconds: float, folder: Path) -> int:
    """How many inputs were read. An input whose reading is like none before joins the corpus."""
    chance, pool = random.Random(seed), corpus()
    until, count = time.monotonic() + seconds, 0
    found: set[str] = set()
    seen: set[str] = set()
    while time.monotonic() < until:
        content = mutated(chance, pool)
        count += 1
        try:
            signs = check(content)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            name = f"{type(error).__name__}-{Path(place.filename).stem}-{place.lineno}"
            if name not in found:
                found.add(name)
                (folder / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}").write_bytes(content)
            continue
        if signs - seen and len(pool) < KEPT:
            seen |= signs
            pool.append(content)
    return count
