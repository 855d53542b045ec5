"""Ports: what was asked for, else the usual, else any."""

import ast
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from deploy.local.ports import USUAL, choose_ports
from deploy.local.settings import LocalSettings, read_settings
from shared.errors import Misconfigured


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No port is asked for."""
    for setting, _ in USUAL.values():
        monkeypatch.delenv(setting.upper(), raising=False)


def test_a_taken_usual_port_gives_way_to_a_free_one(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(USUAL, "audit", ("audit_http_port", taken_port))

    chosen = choose_ports(LocalSettings(), {"audit"})

    assert chosen["audit"] not in (0, taken_port)


def test_a_taken_port_that_was_asked_for_is_named(taken_port: int) -> None:
    with pytest.raises(Misconfigured, match=rf"port {taken_port} for ingest \(INGEST_HTTP_PORT\) is taken"):
        choose_ports(LocalSettings(ingest_http_port=taken_port), {"ingest"})


def test_no_two_parts_get_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (setting, _) in USUAL.items():
        monkeypatch.setitem(USUAL, name, (setting, 28471))

    chosen = choose_ports(LocalSettings(), set(USUAL))

    assert len(USUAL) == len(set(chosen.values()))


def test_a_part_that_is_elsewhere_gets_no_port() -> None:
    assert {"ingest"} == choose_ports(LocalSettings(), {"ingest"}).keys()


def test_zero_asks_for_any_port() -> None:
    assert choose_ports(LocalSettings(audit_http_port=0), {"audit"})["audit"] not in (0, USUAL["audit"][1])


def test_a_setting_that_is_no_port_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_HTTP_PORT", "http://somewhere")

    with pytest.raises(Misconfigured, match="AUDIT_HTTP_PORT") as caught:
        read_settings()

    assert "somewhere" not in str(caught.value)


def test_two_systems_that_start_at_once_choose_different_ports() -> None:
    code = "from deploy.local.ports import *; print(choose_ports(LocalSettings(), set(USUAL)), flush=True); input()"
    systems = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    chosen = [set(ast.literal_eval(system.stdout.readline()).values()) for system in systems if system.stdout]
    for system in systems:
        system.communicate("\n")

    assert len(set.union(*chosen)) == 3 * len(USUAL)
