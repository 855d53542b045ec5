"""HTTP for platforms: one client driven by a profile, its limits, its credentials, the meaning of answers."""

from services.carepatron_writer.platforms.http.answers import Retry, Said
from services.carepatron_writer.platforms.http.client import PlatformClient, Reply, SideEffectRefused, checked_url
from services.carepatron_writer.platforms.http.credentials import ApiKey, Credentials
from services.carepatron_writer.platforms.http.limits import Limits

__all__ = ["ApiKey", "Credentials", "Limits", "PlatformClient", "Reply", "Retry", "Said", "SideEffectRefused", "checked_url"]
