import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from shared import content_store
from shared.content_store import ContentMissing, ContentStore, digest_in, reference_to
from shared.errors import Misconfigured, Unavailable
from shared.identity import digest
from shared.testing import MemoryContentStore

STORES: list[Callable[[Path], Any]] = [
    lambda folder: ContentStore.open((folder / "content with space").as_uri()),
    lambda _: ContentStore.open("memory:///"),
    lambda _: MemoryContentStore(),
]


@pytest.mark.parametrize("make", STORES, ids=["folder", "obstore memory", "fake"])
class TestEveryStore:
    def test_content_comes_back_as_it_went_in(self, make: Callable[[Path], Any], tmp_path: Path) -> None:
        store = make(tmp_path)

        async def run() -> tuple[str, str, bytes]:
            return await store.put(b"one\x00two"), await store.put(b"one\x00two"), await store.get(reference_to(digest(b"one\x00two")))

        assert (reference_to(digest(b"one\x00two")), reference_to(digest(b"one\x00two")), b"one\x00two") == asyncio.run(run())

    @pytest.mark.parametrize(
        "ref",
        [
            reference_to("0" * 64),
            "",
            "sha256/../../etc/passwd",
            "sha256/" + "A" * 64,
            "sha256/" + "0" * 64 + "\n",
            "/sha256/" + "0" * 64,
            "file:///etc/passwd",
            "sha256/" + "0" * 63 + "/",
        ],
    )
    def test_what_is_not_there_or_no_reference_is_missing(self, make: Callable[[Path], Any], tmp_path: Path, ref: str) -> None:
        with pytest.raises(ContentMissing):
            asyncio.run(make(tmp_path).get(ref))


def test_damaged_content_is_missing_and_a_new_put_heals_it(tmp_path: Path) -> None:
    store = ContentStore.open(tmp_path.as_uri())
    ref = asyncio.run(store.put(b"sound"))
    (tmp_path / ref).write_bytes(b"damaged")
    with pytest.raises(ContentMissing):
        asyncio.run(store.get(ref))
    asyncio.run(store.put(b"sound"))

    assert asyncio.run(store.get(ref)) == b"sound"


def test_large_content_survives(tmp_path: Path) -> None:
    store = ContentStore.open(tmp_path.as_uri())
    data = bytes(range(256)) * 64 * 1024

    async def run() -> bytes:
        return await store.get(await store.put(data))

    assert asyncio.run(run()) == data


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://somewhere/x", "s3://"])
def test_an_unusable_address_stops_the_start(url: str) -> None:
    with pytest.raises(Misconfigured):
        ContentStore.open(url)


@pytest.mark.parametrize(
    ("error", "is_target_down"),
    [(GenericError("disk full"), False), (TimeoutError(), False), (OSError("gone"), False), (PermissionDeniedError("no"), True)],
)
def test_every_error_of_the_client_is_an_outage(monkeypatch: pytest.MonkeyPatch, error: Exception, is_target_down: bool) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(content_store.obstore, "put_async", fail)
    monkeypatch.setattr(content_store.obstore, "get_async", fail)
    store = ContentStore.open("memory:///")

    for call in (lambda: store.put(b"x"), lambda: store.get(reference_to(digest(b"x")))):
        with pytest.raises(Unavailable) as caught:
            asyncio.run(call())  # type: ignore[arg-type]
        assert ("content-store", type(error).__name__, is_target_down) == (
            caught.value.target,
            caught.value.why,
            caught.value.is_target_down,
        )


def test_an_unwritable_folder_is_an_outage(tmp_path: Path) -> None:
    store = ContentStore.open((tmp_path / "content").as_uri())
    (tmp_path / "content").rmdir()
    (tmp_path / "content").write_text("a file where the folder was")

    with pytest.raises(Unavailable):
        asyncio.run(store.put(b"x"))


def test_references_name_their_digest() -> None:
    assert digest_in(reference_to("a" * 64)) == "a" * 64
