"""The chart view: hostile text is inert, denials stay denials, nothing runs."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from services.carepatron_writer.platforms.carepatron.sandbox import create_app
from tests.contract.writing_fakes import KEY, a_card, a_key, an_upload, open_adapter

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}{% raw %}"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Starlette]:
    made = create_app(tmp_path / "sandbox", api_key=KEY)
    yield made
    made.state.close()


def _pages(app: Starlette, card: Any, upload: Any) -> dict[str, httpx.Response]:
    async def run() -> dict[str, httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        adapter = open_adapter("http://127.0.0.1", transport=transport)
        client: Any = await adapter.upsert_patient(card, None)
        await adapter.put_document(client.external_id, upload)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as reader:
            here = f"/clients/{client.external_id}"
            paths = {
                "clients": "/",
                "client": here,
                "document": f"{here}/documents/{upload.document_id}",
                "file": f"{here}/documents/{upload.document_id}/file",
                "missing": "/clients/nobody",
            }
            return {name: await reader.get(path) for name, path in paths.items()}

    return asyncio.run(run())


def test_hostile_text_is_inert(app: Starlette) -> None:
    card = a_card(first_name=HOSTILE, dietary_preferences=({"kind": "allergy", "text": HOSTILE},), medical_history=({"kind": HOSTILE},))
    upload = an_upload(content=HOSTILE.encode(), title=HOSTILE, authors=(HOSTILE,), abnormal=(HOSTILE,), date=HOSTILE)
    pages = _pages(app, card, upload)

    for name in ("clients", "client", "document"):
        assert "<script" not in pages[name].text
        assert "<img" not in pages[name].text
        assert "{{7*7}}" in pages[name].text
        assert not re.search(r"<[^>]*\son\w+=", pages[name].text)
        assert "default-src 'none'" in pages[name].headers["content-security-policy"]
        assert pages[name].headers["x-content-type-options"] == "nosniff"
    assert pages["file"].headers["content-type"] == "text/plain; charset=utf-8"


def test_xml_is_offered_as_a_download(app: Starlette) -> None:
    pages = _pages(app, a_card(), an_upload(content=b"<html onload='x'/>", media_type="application/xml"))

    assert pages["file"].headers["content-disposition"] == "attachment"


def test_allergies_stand_on_top_and_denials_are_no_allergies(app: Starlette) -> None:
    diet = (
        {"kind": "allergy", "text": "Peanut", "criticality": "high", "reactions": ["hives"]},
        {"kind": "allergy", "text": "Shellfish", "negated": True},
        {"kind": "intolerance", "text": "Lactose", "status": "resolved"},
        {"kind": "diet", "text": "Low sodium"},
    )
    page = _pages(app, a_card(dietary_preferences=diet), an_upload())["client"].text
    facts, denials = page.split('class="denials"', 1)

    assert page.index("Peanut") < page.index("Lipid panel")
    assert "Shellfish" not in facts
    assert "Stated as not so:" in denials
    assert "Lactose (resolved)" in denials
    assert "Low sodium" in facts


def test_the_page_says_what_it_is(app: Starlette) -> None:
    pages = _pages(app, a_card(), an_upload())

    assert all("modelled, not published by Carepatron" in pages[name].text for name in ("clients", "client", "document", "missing"))
    assert pages["missing"].status_code == 404


def test_what_changed_for_nutrition_stands_on_the_page_of_the_client(app: Starlette) -> None:
    upload = an_upload()
    change = {"change": "out_of_range", "text": f"Potassium {HOSTILE}", "why": "It matters.", "sourceDocumentId": upload.document_id}

    client = _pages(app, a_card(nutrition_changes=(change,)), upload)["client"].text

    assert "What changed for nutrition" in client
    assert "It matters." in client
    assert f'/documents/{upload.document_id}">source' in client
    assert "<script>alert" not in client
    assert "What changed for nutrition" not in _pages(app, a_card(a_key()), upload)["client"].text
