"""The demo's report: every document, what is not on the platform and who acts, and whether the books balance."""

import io
from typing import Any

import pytest
from rich.console import Console

from deploy.local import report as reports
from deploy.local.report import print_report


def row(**facts: Any) -> dict[str, Any]:
    """A line of the report; a lab report that was created."""
    plain = {"provider": "city-laboratory", "document": "460c415c-0000", "type": "lab_report", "status": "created"}
    return {**plain, "reason": None, "sentence": None, "owner": None, **facts}


def printed(*rows: dict[str, Any], width: int = 100, **facts: Any) -> str:
    """What is printed."""
    counts = {"published": 3, "received": 4, "duplicates": 1, "quarantined": 0, "in_flight": 0, "seconds": 1.5, "unreadable": []}
    screen = io.StringIO()
    print_report({**counts, "books_balanced": True, "rows": list(rows), **facts}, Console(file=screen, width=width))
    return screen.getvalue()


def test_a_document_is_one_line() -> None:
    text = printed(row())

    assert ["city-laboratory", "lab", "report", "460c415c", "created"] in [line.split() for line in text.splitlines()]


def test_a_refusal_names_the_sentence_and_who_acts() -> None:
    text = printed(row(status="rejected", reason="malformed_json", sentence="The JSON is broken.", owner="provider"))

    assert "The JSON is broken. (provider)" in text


def test_patients_are_counted_apart() -> None:
    text = printed(row(type="upsert_patient", status="updated"), patients={"updated": 1})

    assert "upsert" not in text
    assert "patients: 1 updated" in text


def test_many_documents_are_counted_by_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "LONGEST_LIST", 2)
    refused = row(status="rejected", reason="malformed_json", sentence="The JSON is broken.", owner="provider")

    text = printed(row(), refused, refused)

    assert "460c415c" not in text
    assert "2 malformed_json The JSON is broken. provider" in " ".join(text.split())


def test_unbalanced_books_say_what_to_do() -> None:
    assert "run `healthcare-records verify`" in printed(row(), books_balanced=False)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_tables_fit_the_terminal(width: int) -> None:
    refused = row(status="rejected", reason="malformed_json", sentence="The JSON is broken. " * 5, owner="provider")
    tables = printed(row(), refused, width=width).split("files published")[0].splitlines()[:-1]

    assert max(len(line) for line in tables) <= width
