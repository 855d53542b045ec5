"""Carepatron as a destination: profile, modelled contract, adapter, sandbox."""

from dataclasses import replace

from services.carepatron_writer.platforms.carepatron.adapter import Carepatron
from services.carepatron_writer.platforms.carepatron.client import ApiKey, CarepatronClient
from services.carepatron_writer.platforms.profile import load_profile
from services.carepatron_writer.settings import AccountSettings


def open_carepatron(destination_id: str, account: AccountSettings) -> Carepatron:
    """The adapter for one account; it connects with the first request. Raises Misconfigured."""
    profile = load_profile("services.carepatron_writer.platforms.carepatron")
    if account.requests_per_minute is not None:
        profile = replace(profile, requests_per_minute=account.requests_per_minute)
    key = ApiKey(account.api_key.get_secret_value(), account.api_key_file)
    return Carepatron(CarepatronClient(account.base_url, account.provider_id, key, profile, target=destination_id), profile)
