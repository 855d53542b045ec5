"""The accounts that this system writes to: an adapter for each destination of each clinic."""

import re
from collections.abc import Callable, Mapping

from services.carepatron_writer.platforms.carepatron import open_carepatron
from services.carepatron_writer.platforms.fhir_r4 import open_fhir_r4
from services.carepatron_writer.platforms.port import Platform
from services.carepatron_writer.settings import AccountSettings
from shared.errors import Misconfigured
from shared.providers import Directory

# every platform that is described by a profile, also those without an adapter yet
PACKAGES = {name: f"services.carepatron_writer.platforms.{name}" for name in ("carepatron", "fhir_r4")}
PLATFORMS: Mapping[str, Callable[[str, AccountSettings], Platform]] = {"carepatron": open_carepatron, "fhir_r4": open_fhir_r4}


def open_platforms(directory: Directory) -> dict[str, Platform]:
    """An adapter for each destination of each clinic. Raises Misconfigured for an unknown platform or an account given twice."""
    opened: dict[str, Platform] = {}
    for clinic in directory.clinics.values():
        for destination in clinic.destinations:
            if destination.platform not in PLATFORMS:
                raise Misconfigured(f"clinics.toml: {destination.id}: platform {destination.platform} is none of {', '.join(PLATFORMS)}")
            if destination.id in opened:
                raise Misconfigured(f"clinics.toml: destination {destination.id} is there twice: each account has an id of its own")
            prefix = re.sub(r"\W", "_", destination.id).upper() + "_"
            account = AccountSettings(_env_prefix=prefix)  # a parameter of pydantic-settings
            if not account.base_url:
                raise Misconfigured(f"{prefix}BASE_URL must be set: where destination {destination.id} answers")
            opened[destination.id] = PLATFORMS[destination.platform](destination.id, account)
    return opened
