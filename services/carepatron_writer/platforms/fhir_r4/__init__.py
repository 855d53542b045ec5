"""Any FHIR R4 server as a destination: profile, adapter, a strict server for tests."""

import re
from urllib.parse import urlsplit

from services.carepatron_writer.platforms.accounts import account_profile
from services.carepatron_writer.platforms.fhir_r4.account import Account
from services.carepatron_writer.platforms.fhir_r4.adapter import FhirR4
from services.carepatron_writer.platforms.fhir_r4.credentials import BearerToken, NoLogin, SmartBackend, read_key
from services.carepatron_writer.platforms.fhir_r4.settings import FhirSettings
from services.carepatron_writer.platforms.fhir_r4.wire import Wire
from services.carepatron_writer.platforms.http import Credentials, PlatformClient, checked_url
from services.carepatron_writer.platforms.profile import load_profile
from services.carepatron_writer.settings import AccountSettings
from shared.errors import Misconfigured

PACKAGE = "services.carepatron_writer.platforms.fhir_r4"


def open_fhir_r4(destination_id: str, account: AccountSettings) -> FhirR4:
    """The adapter for one account; it connects with the first request. Raises Misconfigured."""
    prefix = re.sub(r"\W", "_", destination_id).upper() + "_"
    settings = FhirSettings(_env_prefix=prefix)  # a parameter of pydantic-settings
    profile = account_profile(load_profile(PACKAGE), account)
    root = checked_url(account.base_url, f"{prefix}BASE_URL")
    credentials = _credentials(destination_id, prefix, root, account, settings)
    client = PlatformClient(root, credentials, profile, target=destination_id)
    return FhirR4(Account(Wire(client), profile, settings), credentials)


def _credentials(destination_id: str, prefix: str, root: str, account: AccountSettings, settings: FhirSettings) -> Credentials:
    """By signed assertion, else with a given token; nothing at all only on this machine."""
    if settings.token_url:
        token_url = checked_url(settings.token_url, f"{prefix}TOKEN_URL")
        if not settings.client_id or settings.private_key_file is None:
            raise Misconfigured(f"{prefix}CLIENT_ID and {prefix}PRIVATE_KEY_FILE must be set: {prefix}TOKEN_URL asks for them")
        key = read_key(settings.private_key_file, settings.key_id)
        return SmartBackend(token_url, settings.client_id, key, settings.scope, target=destination_id)
    if account.api_key.get_secret_value():
        return BearerToken(account.api_key.get_secret_value())
    if urlsplit(root).scheme == "https":
        raise Misconfigured(f"{prefix}TOKEN_URL or {prefix}API_KEY must be set: {prefix}BASE_URL is not on this machine")
    return NoLogin()
