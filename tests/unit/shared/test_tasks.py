"""The list of waiting tasks."""

import asyncio

import pytest

from shared.tasks import log_tasks


async def wait_for(event: asyncio.Event, secret: str) -> str:
    """Wait; `secret` is what must not be shown."""
    await event.wait()
    return secret


def test_every_task_says_where_it_waits_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> None:
        event = asyncio.Event()
        task = asyncio.create_task(wait_for(event, "HOSTILE-MARKER"), name="lane")
        await asyncio.sleep(0)
        log_tasks()
        event.set()
        await task

    asyncio.run(run())
    said = capsys.readouterr().out
    (line,) = [one for one in said.splitlines() if "task=lane" in one]

    assert f"{__name__}.wait_for:" in line
    assert "> asyncio.locks.wait:" in line
    assert "MARKER" not in said
