import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from services.ingest import cli, publishing
from services.ingest.publishing import PublishReport, publish_paths
from services.ingest.sources.folder import find_sources
from shared.content_store import ContentStore, reference_to
from shared.errors import Unavailable
from shared.identity import digest
from tests.unit.ingest.fakes import MemorySender

PATIENT = "2f0c2a3e-6f1b-5a50-8d53-0e9c3c0a1b11"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "samples"
    files = {
        "SOURCES.md": b"where they come from",
        ".hidden": b"x",
        "loose.txt": b"loose",
        "lab one/b.hl7": b"MSH|b",
        "lab one/a.hl7": b"MSH|a",
        "lab one/deeper/README.md": b"a document here",
        "lab one/.git/config": b"x",
        "clinic/c.pdf": b"%PDF-1.7",
    }
    for name, content in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    (top / "loop").symlink_to(top)
    return top


class MemoryProducer(MemorySender):
    """Stands in for the producer."""

    async def start(self) -> None:
        """Connected."""

    async def stop(self) -> None:
        """Disconnected."""


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryProducer:
    made = MemoryProducer()
    monkeypatch.setattr(publishing, "Producer", lambda *_, **__: made)
    monkeypatch.setenv("CONTENT_STORE_URL", (tmp_path / "content").as_uri())
    return made


def publish(paths: list[Path], **options: Any) -> PublishReport:
    return asyncio.run(publish_paths(paths, bootstrap="unused:1", **options))


class TestFolders:
    def test_each_first_level_folder_is_a_provider(self, folder: Path) -> None:
        found = find_sources([folder], provider=None, default_provider="default")

        named = [(str(one.path.relative_to(folder)), one.provider_id) for one in found.sources if one.path]
        assert named == [
            ("loose.txt", "samples"),
            ("clinic/c.pdf", "clinic"),
            ("lab one/a.hl7", "lab one"),
            ("lab one/b.hl7", "lab one"),
            ("lab one/deeper/README.md", "lab one"),
        ]
        assert [
            f"{folder}/.hidden: hidden",
            f"{folder}/SOURCES.md: documentation of the folder",
            f"{folder}/lab one/.git/config: hidden",
        ] == (found.ignored)
        assert found.missing == []

    def test_a_named_provider_owns_all(self, folder: Path) -> None:
        found = find_sources([folder], provider="gp", default_provider="default")

        assert {"gp"} == {one.provider_id for one in found.sources}

    def test_a_single_file_and_what_is_not_there(self, folder: Path) -> None:
        found = find_sources([folder / "SOURCES.md", folder / "gone"], provider=None, default_provider="default")

        assert [(folder / "SOURCES.md", "default")] == [(one.path, one.provider_id) for one in found.sources]
        assert [f"{folder}/gone: not found"] == found.missing


class TestPublishing:
    def test_every_file_is_published_once(self, folder: Path, sender: MemoryProducer) -> None:
        counts: list[int] = []
        report = publish([folder], on_published=counts.append)

        assert counts == [1, 2, 3, 4, 5]
        assert (report.count, len(set(report.events))) == (5, 5)
        assert {
            ("samples", b"loose"),
            ("clinic", b"%PDF-1.7"),
            ("lab one", b"MSH|a"),
            ("lab one", b"MSH|b"),
            ("lab one", b"a document here"),
        } == {(event.providerid, event.data) for event in sender.events}
        assert "application/pdf" in {event.contenttype for event in sender.events}

    def test_the_patient_can_be_named(self, folder: Path, sender: MemoryProducer) -> None:
        publish([folder / "clinic"], provider="gp", patient=PATIENT)

        assert (PATIENT, PATIENT.encode()) == (sender.events[0].subject, sender.sent[0][1])

    def test_files_of_one_document_keep_their_order(self, tmp_path: Path, sender: MemoryProducer) -> None:
        for number in range(20):
            (tmp_path / f"{number:02}").write_bytes(b"%d" % number)
        sender.fail = 2
        publish([tmp_path], patient=PATIENT)

        assert [b"%d" % number for number in range(20)] == [event.data for event in sender.events]

    def test_large_files_go_by_reference(self, tmp_path: Path, sender: MemoryProducer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INGEST_CLAIM_CHECK_BYTES", "4")
        (tmp_path / "large").write_bytes(b"large")
        url = (tmp_path / "elsewhere").as_uri()
        publish([tmp_path / "large"], content_url=url)

        assert (b"", reference_to(digest(b"large"))) == (sender.events[0].data, sender.events[0].contentref)
        assert asyncio.run(ContentStore.open(url).get(reference_to(digest(b"large")))) == b"large"

    def test_what_cannot_be_published_is_named(self, tmp_path: Path, sender: MemoryProducer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INGEST_MAX_BYTES", "4")
        (tmp_path / "large").write_bytes(b"large")
        (tmp_path / "fits").write_bytes(b"fits")
        (tmp_path / "empty").write_bytes(b"")
        report = publish([tmp_path / "large", tmp_path / "fits", tmp_path / "empty"])

        assert (2, [f"{tmp_path}/large: larger than 4 bytes"]) == (report.count, report.skipped)

    def test_an_outage_that_passes_is_waited_for(self, folder: Path, sender: MemoryProducer) -> None:
        sender.fail = 1

        assert publish([folder / "clinic"]).count == 1

    def test_an_outage_that_lasts_is_told(self, folder: Path, sender: MemoryProducer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(publishing, "RETRY_SECONDS", 0.1)
        sender.fail = 1000

        with pytest.raises(Unavailable):
            publish([folder])


class TestCommand:
    def run(self, *arguments: str, input: bytes = b"") -> Any:
        app = typer.Typer()
        cli.register(app)
        app.callback()(lambda: None)
        return CliRunner().invoke(app, ["publish", *arguments], input=input)

    def test_json_tells_what_was_published(self, folder: Path, sender: MemoryProducer) -> None:
        result = self.run(str(folder), "--json")

        report = json.loads(result.stdout)
        assert (result.exit_code, report["published"], len(report["events"]), report["skipped"]) == (0, 5, 5, [])

    def test_standard_input(self, sender: MemoryProducer) -> None:
        result = self.run("-", "--provider", "gp", input=b"MSH|")

        assert result.exit_code == 0
        assert [(event.providerid, event.data) for event in sender.events] == [("gp", b"MSH|")]

    def test_a_missing_path_is_trouble(self, folder: Path, sender: MemoryProducer) -> None:
        assert self.run(str(folder / "gone"), "--json").exit_code == 1

    def test_a_patient_is_named_by_key_only(self, folder: Path, sender: MemoryProducer) -> None:
        result = self.run(str(folder), "--patient", "MRN-12345")

        assert result.exit_code == 2
        assert sender.sent == []
