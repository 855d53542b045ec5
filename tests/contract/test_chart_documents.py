"""The page of a document in the chart: its summary on top, its pages as pictures, and what was taken back marked as such."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.applications import Starlette

from services.carepatron_writer.platforms.carepatron.sandbox import create_app
from services.carepatron_writer.platforms.port import Upload
from services.carepatron_writer.rendering import upload_of
from services.carepatron_writer.rendering.printing import render
from shared.canonical.elements import Section
from tests.contract.writing_fakes import KEY, VERSION, a_card, a_document, a_key, an_upload, open_adapter

DENIAL = "No known allergy to <b>shellfish</b>"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Starlette]:
    made = create_app(tmp_path / "sandbox", api_key=KEY)
    yield made
    made.state.close()


def a_rendered_upload() -> Upload:
    """A document of two pages."""
    document = a_document(
        a_key(), text="\n".join(f"Line {number}" for number in range(70)), sections=[Section("48765-2", "Allergies", DENIAL)]
    )
    made = render(document, {}, media_types=("application/pdf",), max_bytes=1 << 20)
    assert made is not None
    return upload_of(document, VERSION, made)


def _answers(app: Starlette, upload: Upload, *paths: str, is_withdrawn: bool = False) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        adapter = open_adapter("http://127.0.0.1", transport=transport)
        client: Any = await adapter.upsert_patient(a_card(), None)
        await adapter.put_document(client.external_id, upload)
        if is_withdrawn:
            await adapter.withdraw_document(client.external_id, upload.document_id, f"{upload.version}z")
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as reader:
            return [await reader.get(f"/clients/{client.external_id}/documents/{upload.document_id}{path}") for path in paths]

    return asyncio.run(run())


def test_the_pages_of_a_pdf_are_pictures_on_the_page(app: Starlette) -> None:
    page, first, second, third, none = _answers(
        app, a_rendered_upload(), "", "/pages/1.png", "/pages/2.png", "/pages/3.png", "/pages/0.png"
    )

    assert page.text.count('<img class="picture page"') == 2
    assert "Page 2 of 2; its words are in the file" in page.text
    for picture in (first, second):
        assert picture.headers["content-type"] == "image/png"
        assert "default-src 'none'" in picture.headers["content-security-policy"]
        assert Image.open(io.BytesIO(picture.content)).width == 1_100
    assert (third.status_code, none.status_code) == (404, 404)


def test_the_summary_stands_above_the_content_and_denials_stay_denials(app: Starlette) -> None:
    upload = a_rendered_upload()
    (page,) = _answers(app, upload, "")

    assert upload.dietary == (DENIAL,)
    assert page.text.index("Diet and allergies, as stated here") < page.text.index("No known allergy to &lt;b&gt;shellfish&lt;/b&gt;")
    assert page.text.index("shellfish") < page.text.index('id="content"')


def test_critical_results_stand_out(app: Starlette) -> None:
    (page,) = _answers(app, an_upload(abnormal=("Potassium 6.3 mmol/L HH", "LDL 4.9 mmol/L H")), "")

    assert '<li class="fact danger"><span class="term">Potassium' in page.text
    assert '<li class="fact warn"><span class="term">LDL' in page.text


def test_what_was_taken_back_is_marked(app: Starlette) -> None:
    (page,) = _answers(app, a_rendered_upload(), "", is_withdrawn=True)

    assert "<s>Lipid panel</s>" in page.text
    assert "The source took this document back" in page.text
    assert "<dd>withdrawn</dd>" in page.text
    assert 'class="card gone"' in page.text


@pytest.mark.parametrize("content", [b"no PDF", b"%PDF-1.7\n%%EOF"])
def test_a_broken_pdf_is_a_link(app: Starlette, content: bytes) -> None:
    page, picture = _answers(app, an_upload(content=content, media_type="application/pdf"), "", "/pages/1.png")

    assert "This file cannot be shown here." in page.text
    assert "Open the file" in page.text
    assert picture.status_code == 404
