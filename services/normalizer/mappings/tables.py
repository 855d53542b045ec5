"""Mapping tables: TOML beside this module, read once.

`HEALTHCARE_RECORDS_MAPPINGS` names a folder whose tables are used in place of those of the same name: to try a change before it is made.
"""

import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def load_table(name: str) -> dict[str, Any]:
    """The table of that name, read once."""
    tried = os.environ.get("HEALTHCARE_RECORDS_MAPPINGS")
    places = [*([Path(tried)] if tried else []), Path(__file__).parent]
    found = next(place for folder in places if (place := folder / f"{name}.toml").is_file())
    return tomllib.loads(found.read_text(encoding="utf-8"))
