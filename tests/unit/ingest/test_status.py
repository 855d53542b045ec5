import pytest

from services.ingest.status import Progress, state_of


@pytest.mark.parametrize(
    ("progress", "state"),
    [
        ({}, "pending"),
        ({"ingest": Progress(1, 0)}, "done"),  # refused or a duplicate
        ({"ingest": Progress(1, 1)}, "processing"),
        ({"ingest": Progress(2, 2), "normalizer": Progress(1, 0)}, "processing"),
        ({"ingest": Progress(1, 1), "normalizer": Progress(1, 0)}, "done"),  # skipped
        ({"ingest": Progress(1, 1), "normalizer": Progress(1, 2)}, "processing"),
        ({"ingest": Progress(1, 1), "normalizer": Progress(1, 2), "carepatron_writer": Progress(1)}, "processing"),
        ({"ingest": Progress(1, 1), "normalizer": Progress(1, 2), "carepatron_writer": Progress(2)}, "done"),
        ({"normalizer": Progress(1, 2), "carepatron_writer": Progress(2)}, "processing"),  # the row of ingest is still on its way
    ],
)
def test_done_when_every_stage_has_accounted_for_what_it_got(progress: dict[str, Progress], state: str) -> None:
    assert state_of(progress) == state
