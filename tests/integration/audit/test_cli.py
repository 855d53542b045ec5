"""`log`, `status` and `verify`: exit codes, JSON, at most 100 columns."""

import asyncio
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from services.audit.cli import register
from tests.integration.audit.conftest import opened

DOCUMENT = "0b0e7c1e-6a64-5f43-8f44-2f3f6c0a8b11"
app = typer.Typer()
register(app)
runner = CliRunner()


def test_commands_tell_the_truth_and_name_what_is_missing(
    own_bootstrap: str, audit_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", audit_url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", own_bootstrap)
    for name in ("INGEST", "NORMALIZER", "CAREPATRON_WRITER", "AUDIT"):
        monkeypatch.delenv(f"{name}_HTTP_PORT", raising=False)

    async def deliver(hurt: bool) -> None:
        async with opened(own_bootstrap, audit_url) as house:
            if not hurt:
                await house.deliver("event-1", document_id=DOCUMENT)
                await house.audit()
            else:
                await house.pool.execute("DELETE FROM synchronization_log WHERE stage = 'carepatron_writer'")

    asyncio.run(deliver(hurt=False))
    whole = runner.invoke(app, ["verify"])
    listed = runner.invoke(app, ["log", "--document", DOCUMENT])
    found = runner.invoke(app, ["log", "--status", "created", "--json"])
    state = runner.invoke(app, ["status"])
    state_json = runner.invoke(app, ["status", "--json"])

    assert [one.exit_code for one in (whole, listed, found, state, state_json)] == [0, 0, 0, 0, 0], whole.output + state.output
    assert "accounted for" in whole.output
    assert "created" in listed.output
    assert [row["document_id"] for row in json.loads(found.output)["items"]] == [DOCUMENT]
    assert {one["lag"] for one in json.loads(state_json.output)["lag"] if one["topic"] != "outcome.recorded.v1"} == {0}
    assert max(len(line) for one in (whole, listed, state) for line in one.output.splitlines()) <= 100

    asyncio.run(deliver(hurt=True))
    hurt = runner.invoke(app, ["verify"])
    hurt_json = runner.invoke(app, ["verify", "--json"])

    assert (hurt.exit_code, hurt_json.exit_code) == (1, 1)
    assert DOCUMENT in hurt.output
    assert "event-1" in hurt.output
    named = json.loads(hurt_json.output)["missing"]
    assert [(one["document_id"], one["correlation_id"], one["stage"]) for one in named] == [(DOCUMENT, "event-1", "carepatron_writer")]


@pytest.mark.parametrize("wrong", [["--patient", "x"], ["--since", "soon"], ["--status", "x"], ["--cursor", "x"], ["--limit", "0"]])
def test_wrong_usage_is_exit_2(wrong: list[str], audit_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", audit_url)

    assert runner.invoke(app, ["log", *wrong]).exit_code == 2


def test_a_system_that_is_away_is_exit_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/none")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("AUDIT_HTTP_PORT", "1")

    assert [runner.invoke(app, [one]).exit_code for one in ("log", "status", "verify")] == [1, 1, 1]
    assert json.loads(runner.invoke(app, ["status", "--json"]).output)["services"][-1]["state"] == "down"
