"""`log`, `status` and `verify`: exit codes, JSON, at most 100 columns."""

import asyncio
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from services import verify_cli
from services.audit.cli import register
from services.audit.positions import Step
from services.audit.sync_log import record_outcomes
from shared.outcomes import LossCounts
from shared.postgres import open_pool
from shared.topics import AUDIT_GROUP, OUTCOMES, RECEIVED
from tests.integration.audit.conftest import made_outcome, opened, outcome_record, tamper

DOCUMENT = "0b0e7c1e-6a64-5f43-8f44-2f3f6c0a8b11"
app = typer.Typer()
register(app)
verify_cli.register(app)
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
                await tamper(house.pool, "DELETE FROM synchronization_log WHERE stage = 'carepatron_writer'")

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


def test_losses_add_up_by_provider_format_and_mapping(audit_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", audit_url)
    told = [
        ("north", "1", LossCounts(90, 5, 10, {"PID-15": 4, "ZPX": 6})),
        ("north", "2", LossCounts(96, 5, 4, {"PID-15": 4})),
        ("south", "2", LossCounts(50)),
    ]
    records = []
    for offset, (provider, mapping, losses) in enumerate(told):
        made = made_outcome(
            RECEIVED.name, 0, offset, "normalized", provider_id=provider, format="hl7v2", mapping_version=mapping, losses=losses
        )
        records.append(outcome_record(made, offset))

    async def record() -> None:
        pool = await open_pool(audit_url, application_name="test", max_size=1)
        try:
            await record_outcomes(pool, Step(AUDIT_GROUP, OUTCOMES.name, 0, None, len(records)), records)
        finally:
            await pool.close()

    asyncio.run(record())
    found = json.loads(runner.invoke(app, ["losses", "--json"]).output)
    shown = runner.invoke(app, ["losses", "--provider", "north"])

    assert [(one["provider"], one["mapping_version"], one["mapped"], one["unmapped"], one["score"]) for one in found["providers"]] == [
        ("north", "1", 90, 10, 0.9),
        ("north", "2", 96, 4, 0.96),
        ("south", "2", 50, 0, 1.0),
    ]
    assert [(one["path"], one["elements"], one["messages"]) for one in found["paths"]] == [
        ("ZPX", 6, 1),
        ("PID-15", 4, 1),
        ("PID-15", 4, 1),
    ]
    assert "96.0%" in shown.output
    assert "south" not in shown.output


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
