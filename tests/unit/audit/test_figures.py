"""The dashboard's figures: patients apart from documents, nobody's business left out, the chart in bounds."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.audit.dashboard import figures
from services.audit.dashboard.figures import CHART_HEIGHT, RecentFigures, bars_of, figures_of, tasks_of

NOW = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


def counted(stage: str, status: str, day: int, *, is_patient: bool = False) -> dict[str, Any]:
    """A row of `count_by_stage`."""
    is_terminal = status not in ("received", "normalized")
    return {"stage": stage, "status": status, "is_terminal": is_terminal, "is_patient": is_patient, "day": day, "hour": 1}


def test_the_flow_counts_documents_and_leaves_patients_apart() -> None:
    rows = [
        counted("ingest", "received", 8),
        counted("ingest", "duplicate", 2),
        counted("normalizer", "normalized", 8),
        counted("carepatron_writer", "created", 6),
        counted("carepatron_writer", "created", 5, is_patient=True),
    ]

    found = figures_of(rows, [], [], NOW)

    assert [one.day for one in found.flow] == [10, 8, 8, 6]
    assert [(one.status, one.count, one.share, one.mood) for one in found.endings] == [
        ("created", 6, 75.0, "good"),
        ("duplicate", 2, 25.0, "quiet"),
    ]
    assert found.patients == 5


def test_tasks_say_who_acts_and_leave_out_what_is_nobodys_business() -> None:
    rows = [
        {"reason": "not_relevant", "items": 9, "newest": NOW, "providers": 1},
        {"reason": "patient_conflict", "items": 1, "newest": NOW, "providers": 1},
        {"reason": "empty_content", "items": 4, "newest": NOW, "providers": 1},
        {"reason": "of_a_newer_version", "items": 2, "newest": NOW, "providers": 1},
    ]

    tasks = tasks_of(rows)

    assert [(one.reason, one.owner) for one in tasks] == [
        ("empty_content", "the provider"),
        ("of_a_newer_version", "operations"),
        ("patient_conflict", "the clinic"),
    ]


@pytest.mark.parametrize("counts", [[], [0, 0], [1, 1000000], [5]])
def test_bars_stay_inside_the_chart(counts: list[int]) -> None:
    bars = bars_of([(NOW + timedelta(hours=n), count) for n, count in enumerate(counts)])

    assert all(one.y >= 0 and one.y + one.height <= CHART_HEIGHT and one.height > 0 for one in bars)


def test_many_viewers_cost_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    clock = 0.0

    async def fetch(_: object) -> object:
        nonlocal looks
        looks += 1
        return figures_of([], [], [], NOW)

    async def story() -> None:
        nonlocal clock
        recent = RecentFigures(None, clock=lambda: clock)
        await asyncio.gather(*(recent.get() for _ in range(20)))
        assert looks == 1
        clock = 6.0
        await recent.get()

    monkeypatch.setattr(figures, "fetch_figures", fetch)
    asyncio.run(story())

    assert looks == 2
