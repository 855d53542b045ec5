"""Carepatron as a destination: profile, modelled contract, adapter, sandbox."""

from urllib.parse import quote

from services.carepatron_writer.platforms.accounts import account_profile
from services.carepatron_writer.platforms.carepatron.adapter import Carepatron
from services.carepatron_writer.platforms.http import ApiKey, PlatformClient, checked_url
from services.carepatron_writer.platforms.profile import load_profile
from services.carepatron_writer.settings import AccountSettings

PACKAGE = "services.carepatron_writer.platforms.carepatron"


def open_carepatron(destination_id: str, account: AccountSettings) -> Carepatron:
    """The adapter for one account; it connects with the first request. Raises Misconfigured."""
    profile = account_profile(load_profile(PACKAGE), account)
    root = f"{checked_url(account.base_url, 'CAREPATRON_BASE_URL')}/providers/{quote(account.provider_id, safe='')}"
    key = ApiKey(account.api_key.get_secret_value(), account.api_key_file, header=profile.token.header)
    return Carepatron(PlatformClient(root, key, profile, target=destination_id), profile)
