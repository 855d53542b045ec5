"""Profiles and accounts: mistakes stop the start and say what to change."""

from importlib.resources import files
from pathlib import Path

import pytest

from services.carepatron_writer import destinations
from services.carepatron_writer.app import destination_of
from services.carepatron_writer.destinations import open_platforms
from services.carepatron_writer.platforms import profile as profiles
from services.carepatron_writer.platforms.accounts import account_profile
from services.carepatron_writer.platforms.http import ApiKey
from services.carepatron_writer.platforms.http import checked_url as check
from services.carepatron_writer.platforms.profile import Effect, load_profile
from services.carepatron_writer.settings import AccountSettings
from shared.errors import Misconfigured
from shared.providers import Clinic, Destination, Directory
from tests.contract.writing_fakes import PACKAGE, a_key, a_patient, patient_record


def test_the_shipped_profile_never_reaches_the_patient() -> None:
    profile = load_profile(PACKAGE)

    assert profile.allowed_effects == {Effect.READ, Effect.WRITE_PATIENT, Effect.WRITE_DOCUMENT, Effect.WITHDRAW}
    assert (profile.capabilities.share, profile.capabilities.evidence) == (False, "modelled")
    assert profile.requests.timeout_seconds <= 20


def test_an_account_may_narrow_the_rate_and_allow_mail_but_nothing_that_is_never_done() -> None:
    profile = account_profile(load_profile(PACKAGE), AccountSettings(requests_per_minute=90, allowed_effects=("email_client",)))

    assert [(one.requests, one.seconds) for one in profile.windows] == [(90, 60)]
    assert Effect.EMAIL_CLIENT in profile.allowed_effects
    for never in ("share", "merge", "delete", "other"):
        with pytest.raises(Misconfigured):
            account_profile(profile, AccountSettings(allowed_effects=(never,)))


@pytest.mark.parametrize(
    ("written", "instead", "named"),
    [
        ('"withdraw"]', '"withdraw", "merge"]', "merge is never done"),
        ("timeout_seconds = 15.0", "timeout_seconds = 60.0", "requests.timeout_seconds"),
        ("write_documents = true", "", "features.write_documents"),
        ("[retry]", "[retry", "cannot be read"),
        ('"parked contact_archived"', '"parked somewhere"', "errors.rules"),
        ('upload = ["put_document"]', 'upload = ["put_file"]', "put_file is named but not described"),
        ("in_flight = 32", "in_flight = 32\nburst = 3", "requests.burst"),
    ],
)
def test_a_profile_that_cannot_be_kept_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, instead: str, named: str
) -> None:
    text = files(PACKAGE).joinpath("profile.toml").read_text("utf-8").replace(written, instead, 1)
    (tmp_path / "profile.toml").write_text(text)
    monkeypatch.setattr(profiles, "files", lambda _: tmp_path)

    with pytest.raises(Misconfigured, match=named):
        load_profile(PACKAGE)


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://example.org/v1", "https://user:secret@example.org", "https://example.org?x=1", "https://", "example.org"]
)
def test_an_address_that_would_give_the_key_away_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        check(url, "X_BASE_URL")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://example.org/api/", "http://127.0.0.1:8090/v1", "http://localhost:1", "http://[::1]:1"])
def test_an_address_may_be_https_or_on_this_machine(url: str) -> None:
    assert url.rstrip("/") == check(url, "X_BASE_URL")


@pytest.mark.parametrize("text", ["", None, "with\nline", "é"])
def test_a_key_that_cannot_be_a_header_is_refused(text: str | None) -> None:
    with pytest.raises(Misconfigured):
        ApiKey(text, None)


def test_each_destination_has_an_account_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}
    monkeypatch.setitem(destinations.PLATFORMS, "carepatron", lambda key, account: seen.setdefault(key, account.base_url))
    monkeypatch.setenv("CAREPATRON_BASE_URL", "https://one.example.org")
    monkeypatch.setenv("NORTH_CLINIC_BASE_URL", "https://two.example.org")
    clinics = {"a": Clinic(), "b": Clinic(destinations=(Destination(id="north-clinic"),))}

    open_platforms(Directory(clinics=clinics))

    assert seen == {"carepatron": "https://one.example.org", "north-clinic": "https://two.example.org"}


@pytest.mark.parametrize(
    "clinics",
    [
        {"a": Clinic()},
        {"a": Clinic(destinations=(Destination(id="x", platform="other"),))},
        {"a": Clinic(), "b": Clinic()},
    ],
    ids=["no address", "unknown platform", "one account for two clinics"],
)
def test_a_destination_that_cannot_be_reached_stops_the_start(monkeypatch: pytest.MonkeyPatch, clinics: dict[str, Clinic]) -> None:
    monkeypatch.delenv("CAREPATRON_BASE_URL", raising=False)
    if len(clinics) > 1:
        monkeypatch.setenv("CAREPATRON_BASE_URL", "https://one.example.org")
        monkeypatch.setenv("CAREPATRON_API_KEY", "k")

    with pytest.raises(Misconfigured):
        open_platforms(Directory(clinics=clinics))


def test_an_outage_belongs_to_the_destination_of_the_record() -> None:
    assert destination_of(patient_record(a_patient(a_key()), offset=0, destination_id="north")) == "north"
