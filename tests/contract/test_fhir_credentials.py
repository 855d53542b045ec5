"""SMART Backend Services over the fake's token endpoint: what is signed, how long tokens are kept, who fetches."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import httpx
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from services.carepatron_writer.platforms.fhir_r4 import open_fhir_r4
from services.carepatron_writer.platforms.fhir_r4.credentials import BearerToken, NoLogin, SigningKey, SmartBackend
from services.carepatron_writer.platforms.fhir_r4.sandbox import FhirServer, TokenDoor
from services.carepatron_writer.platforms.port import Created, Drift
from services.carepatron_writer.settings import AccountSettings
from shared.errors import Misconfigured, Unavailable
from tests.contract.fhir_grounds import ROOT, UNHURRIED, a_client, open_fhir
from tests.contract.writing_fakes import an_upload

TOKEN_URL = "http://127.0.0.1/token"
EC = ECKey.generate_key("P-384", {"kid": "ours"})
RSA = RSAKey.generate_key(2048, {"kid": "ours"})
SCOPE = "system/Patient.crus system/DocumentReference.crus"


def _text(key: Any, **said: Any) -> str:
    return orjson.dumps({**key.as_dict(private=True), **said}).decode()


def _public(key: Any) -> KeySet:
    return KeySet([type(key).import_key(key.as_dict(private=False))])


def _door(key: Any = EC, **said: Any) -> TokenDoor:
    return TokenDoor(TOKEN_URL, "us", _public(key), **said)


def _smart(server: FhirServer, key: Any = EC, *, now: Any = None, clock: Any = None) -> SmartBackend:
    times = {**({"now": now} if now else {}), **({"clock": clock} if clock else {})}
    transport = httpx.ASGITransport(app=server.app)
    return SmartBackend(TOKEN_URL, "us", SigningKey(_text(key)), SCOPE, target="fhir", transport=transport, **times)


def _short_rsa() -> str:
    key = generate_private_key(65537, 1024)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(("key", "algorithm"), [(EC, "ES384"), (RSA, "RS384")], ids=["ES384", "RS384"])
def test_an_assertion_says_who_we_are_for_a_few_minutes_and_once(key: Any, algorithm: str) -> None:
    signing = SigningKey(_text(key))
    tokens = [jwt.decode(signing.assertion("us", TOKEN_URL, 1000.9), _public(key), algorithms=[algorithm]) for _ in range(2)]
    claims = tokens[0].claims

    assert tokens[0].header == {"alg": algorithm, "kid": "ours", "typ": "JWT"}
    assert (claims["iss"], claims["sub"], claims["aud"], claims["iat"]) == ("us", "us", TOKEN_URL, 1000)
    assert 0 < claims["exp"] - 1000 <= 300
    assert claims["jti"] != tokens[1].claims["jti"]


@pytest.mark.parametrize(
    "text",
    [
        _text(OctKey.generate_key(256), kid="ours"),
        _text(ECKey.generate_key("P-256"), kid="ours"),
        _short_rsa(),
        _text(EC, alg="ES256"),
        _text(EC, alg="none"),
        _text(RSA, alg="HS256"),
        orjson.dumps(EC.as_dict(private=False)).decode(),
        EC.as_pem(private=False).decode(),
        "{",
        "",
        "not a key",
    ],
    ids=["shared secret", "P-256", "RSA 1024", "ES256", "none", "HS256", "public JWK", "public PEM", "half", "empty", "words"],
)
def test_other_keys_and_algorithms_are_refused(text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        SigningKey(text, "ours")
    assert "Traceback" not in str(caught.value)
    assert caught.value.__cause__ is None  # nothing of the key stands in the chain


@pytest.mark.parametrize("key", [EC, RSA], ids=["EC", "RSA"])
def test_a_pem_needs_the_name_of_its_key(key: Any) -> None:
    text = key.as_pem(private=True).decode()

    assert SigningKey(text, "ours").key_id == "ours"
    with pytest.raises(Misconfigured, match="KEY_ID"):
        SigningKey(text)


def test_one_token_serves_all_until_half_a_minute_before_its_end() -> None:
    clock = [0.0]
    door = _door(life_seconds=300)
    server = FhirServer(door=door)

    async def run() -> list[int]:
        smart, counts = _smart(server, clock=lambda: clock[0]), []
        for moment in (0.0, 269.0, 271.0):
            clock[0] = moment
            await asyncio.gather(*(smart.headers() for _ in range(20)))
            counts.append(len(door.given))
        await smart.aclose()
        return counts

    assert asyncio.run(run()) == [1, 1, 2]


def test_a_token_that_ends_in_the_middle_of_a_batch_is_renewed_once() -> None:
    door = _door(uses=40)
    server = FhirServer(door=door)
    clock = [0.0]

    async def run() -> list[Any]:
        smart = _smart(server, clock=lambda: clock[0])
        platform = open_fhir(ROOT, transport=httpx.ASGITransport(app=server.app), credentials=smart, said=UNHURRIED)
        client = await a_client(platform)
        clock[0] = 60.0  # no longer fresh
        answers = await asyncio.gather(*(platform.put_document(client, an_upload()) for _ in range(15)))
        await platform.aclose()
        return list(answers)

    assert [type(one) for one in asyncio.run(run())] == [Created] * 15
    assert len(door.given) == 2


def test_a_token_refused_at_once_is_not_fetched_again_and_again() -> None:
    door = _door(uses=0)
    server = FhirServer(door=door)

    async def run() -> None:
        smart = _smart(server)
        platform = open_fhir(ROOT, transport=httpx.ASGITransport(app=server.app), credentials=smart, said=UNHURRIED)
        for _ in range(5):
            with pytest.raises(Unavailable) as caught:
                await platform.find_patient("x")
            assert caught.value.is_target_down
        await platform.aclose()

    asyncio.run(run())
    assert len(door.given) == 1


def test_whoever_was_refused_with_an_older_token_just_takes_the_new_one() -> None:
    door, clock = _door(), [0.0]
    server = FhirServer(door=door)

    async def run() -> list[bool]:
        smart = _smart(server, clock=lambda: clock[0])
        first = await smart.headers()
        clock[0] = 60.0
        answers = [await smart.renew(first), await smart.renew(first), await smart.renew(await smart.headers())]
        await smart.aclose()
        return answers

    assert asyncio.run(run()) == [True, True, False]
    assert len(door.given) == 2


@pytest.mark.parametrize("fault", ["unknown client", "other key", "clock"])
def test_a_token_endpoint_that_says_no_is_an_outage_that_quotes_nothing(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    door = TokenDoor(TOKEN_URL, "them" if fault == "unknown client" else "us", _public(RSA if fault == "other key" else EC))
    server = FhirServer(door=door)
    caplog.set_level(logging.DEBUG)

    async def run() -> Unavailable:
        smart = _smart(server, now=(lambda: 1000.0) if fault == "clock" else None)
        with pytest.raises(Unavailable) as caught:
            await smart.headers()
        await smart.aclose()
        return caught.value

    error = asyncio.run(run())

    assert error.is_target_down
    assert error.why == "token endpoint answered 400"
    assert error.__cause__ is None
    assert "client_assertion" not in caplog.text
    assert door.refusals == [{"unknown client": "claims", "other key": "signature", "clock": "exp"}[fault]]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (302, b""),
        (200, b"<html>"),
        (200, b'{"access_token":"x","token_type":"mac"}'),
        (200, b'{"access_token":"a\\nb","token_type":"bearer"}'),
        (200, b'{"token_type":"bearer"}'),
        (200, b"[]"),
        (200, b" " * 70_000),
    ],
)
def test_an_answer_without_a_usable_token_is_an_outage(status: int, body: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body, headers={"location": "http://elsewhere.example/"}))

    async def run() -> Any:
        smart = SmartBackend(TOKEN_URL, "us", SigningKey(_text(EC)), SCOPE, target="fhir", transport=transport)
        with pytest.raises(Unavailable) as caught:
            await smart.headers()
        await smart.aclose()
        return caught.value

    assert asyncio.run(run()).is_target_down


def test_a_token_endpoint_that_is_away_is_an_outage() -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async def run() -> Any:
        smart = SmartBackend(TOKEN_URL, "us", SigningKey(_text(EC)), SCOPE, target="fhir", transport=httpx.MockTransport(away))
        with pytest.raises(Unavailable) as caught:
            await smart.headers()
        await smart.aclose()
        return caught.value

    assert asyncio.run(run()).why == "token endpoint: ConnectError"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [({"expires_in": 60}, 30), ({"expires_in": 20}, 10), ({}, 270), ({"expires_in": "x"}, 270), ({"expires_in": 1e9}, 3570)],
)
def test_how_long_a_token_is_kept(said: Mapping[str, Any], seconds: float) -> None:
    clock = [0.0]
    body = orjson.dumps({"access_token": "x", "token_type": "Bearer", **said})
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))

    async def run() -> list[int]:
        smart = SmartBackend(TOKEN_URL, "us", SigningKey(_text(EC)), SCOPE, target="fhir", transport=transport, clock=lambda: clock[0])
        counts = []
        for moment in (0.0, seconds - 0.1, seconds):
            clock[0] = moment
            await smart.headers()
            counts.append(smart.fetches)
        await smart.aclose()
        return counts

    assert asyncio.run(run()) == [1, 1, 2]


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        (None, []),
        ("system/*.cruds", []),
        ("system/Patient.read system/Patient.write system/DocumentReference.cruds", []),
        ("system/Patient.rs system/DocumentReference.crus", ["system/Patient.crus"]),
        ("user/Patient.crus", SCOPE.split()),
    ],
)
def test_a_probe_says_which_scopes_were_not_granted(granted: str | None, missing: list[str]) -> None:
    server = FhirServer(door=_door(scope=granted))

    async def run() -> Any:
        smart = _smart(server)
        platform = open_fhir(ROOT, transport=httpx.ASGITransport(app=server.app), credentials=smart, said=UNHURRIED)
        found = await platform.probe()
        await platform.aclose()
        return found

    assert list(asyncio.run(run())) == [Drift("token.scope", one, "not granted") for one in missing]


def test_nothing_shows_the_key_or_the_token() -> None:
    key, smart = SigningKey(_text(EC)), _smart(FhirServer(door=_door()))

    assert f"{key!r} {smart!r} {BearerToken('secret-token')!r}" == "SigningKey(ES384) SmartBackend(fhir) BearerToken()"
    assert asyncio.run(BearerToken("secret-token").headers()) == {"Authorization": "Bearer secret-token"}
    assert asyncio.run(NoLogin().headers()) == {}
    asyncio.run(smart.aclose())
    with pytest.raises(Misconfigured):
        BearerToken("a\nb")


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"BASE_URL": "https://fhir.example.org/r4"}, "TOKEN_URL or FHIR_DESK_API_KEY"),
        ({"BASE_URL": "http://fhir.example.org/r4"}, "FHIR_DESK_BASE_URL must be an https"),
        ({"TOKEN_URL": "https://fhir.example.org/token"}, "CLIENT_ID and FHIR_DESK_PRIVATE_KEY_FILE"),
        (
            {"TOKEN_URL": "http://fhir.example.org/token", "CLIENT_ID": "us", "PRIVATE_KEY_FILE": "key"},
            "FHIR_DESK_TOKEN_URL must be an https",
        ),
        ({"TOKEN_URL": "https://fhir.example.org/token", "CLIENT_ID": "us", "PRIVATE_KEY_FILE": "/nowhere"}, "cannot be read"),
    ],
)
def test_an_account_that_cannot_work_stops_the_start(said: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BASE_URL": "http://127.0.0.1:1/fhir", **said}.items():
        monkeypatch.setenv(f"FHIR_DESK_{name}", value)

    with pytest.raises(Misconfigured, match=named):
        open_fhir_r4("fhir-desk", AccountSettings(_env_prefix="FHIR_DESK_"))


def test_an_account_opens_with_a_key_a_token_or_on_this_machine_with_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("FHIR_DESK_BASE_URL", "https://fhir.example.org/r4")
    monkeypatch.setenv("FHIR_DESK_TOKEN_URL", "https://fhir.example.org/token")
    monkeypatch.setenv("FHIR_DESK_CLIENT_ID", "us")
    monkeypatch.setenv("FHIR_DESK_PRIVATE_KEY_FILE", str(tmp_path / "key"))
    (tmp_path / "key").write_text(_text(EC))

    async def run() -> list[str]:
        names = []
        for changes in ({}, {"TOKEN_URL": "", "API_KEY": "token"}, {"API_KEY": "", "BASE_URL": "http://127.0.0.1:1/fhir"}):
            for name, value in changes.items():
                monkeypatch.setenv(f"FHIR_DESK_{name}", value)
            platform = open_fhir_r4("fhir-desk", AccountSettings(_env_prefix="FHIR_DESK_"))
            names.append(type(platform._credentials).__name__)
            await platform.aclose()
        return names

    assert asyncio.run(run()) == ["SmartBackend", "BearerToken", "NoLogin"]
