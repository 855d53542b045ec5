"""A platform's profile as one account narrows or widens it. Pure."""

from services.carepatron_writer.platforms.profile import FORBIDDEN, Effect, Evidence, Profile, Window
from services.carepatron_writer.settings import AccountSettings
from shared.errors import Misconfigured


def account_profile(profile: Profile, account: AccountSettings) -> Profile:
    """The profile with the account's own rate and what the clinic allows besides. Raises Misconfigured for what is never done."""
    changes: dict[str, object] = {}
    if account.requests_per_minute:
        window = Window(name="account-minute", requests=account.requests_per_minute, seconds=60, evidence=Evidence.MODELLED)
        changes["windows"] = (*profile.windows, window)
    if account.allowed_effects:
        unknown = sorted(set(account.allowed_effects) - set(Effect))
        if unknown or FORBIDDEN & set(account.allowed_effects):
            raise Misconfigured(f"ALLOWED_EFFECTS: {', '.join(unknown or sorted(FORBIDDEN))} cannot be allowed")
        changes["allowed_effects"] = profile.allowed_effects | {Effect(one) for one in account.allowed_effects}
    return profile.model_copy(update=changes)
