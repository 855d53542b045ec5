"""What a demo shows at its end: what became of every document, and who has to look at what."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.outcomes import Action

STYLES = {
    "created": "green",
    "updated": "green",
    "unchanged": "cyan",
    "withdrawn": "magenta",
    "superseded": "cyan",
    "duplicate": "cyan",
    "skipped": "dim",
    "rejected": "yellow",
    "failed": "bold red",
}
PATIENT_ACTIONS = (Action.UPSERT_PATIENT.value, Action.MERGE_PATIENT.value)
ACTIONS = frozenset(one.value for one in Action)
LONGEST_LIST = 80  # documents; of more only the counts are shown
WIDTH = 120


def print_report(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the report; it fits the width of the terminal."""
    console = console or Console(highlight=False)
    documents = [row for row in report["rows"] if row["type"] not in PATIENT_ACTIONS]
    width = min(WIDTH, console.width)
    console.print()
    if len(documents) <= LONGEST_LIST:
        console.print(_every_document(documents, width))
    else:
        console.print(_by_reason(documents, width))
    console.print()
    console.print(_by_provider(documents, width))
    patients = " · ".join(f"{count} {status}" for status, count in sorted(report.get("patients", {}).items()))
    facts = [
        f"{report['published']} files published",
        f"{report['received']} documents and messages received",
        f"{report['duplicates']} duplicates",
        f"{report['quarantined']} quarantined",
        f"{report['in_flight']} in flight",
        *([f"{len(report['unreadable'])} files not readable"] if report["unreadable"] else []),
        f"{report['seconds']} s",
    ]
    console.print("\n  " + " · ".join(facts), soft_wrap=True)
    if patients:
        console.print(f"  patients: {patients}")
    is_balanced = report["books_balanced"]
    verdict = "the books balance: nothing is lost" if is_balanced else "the books do not balance: run `healthcare-records verify`"
    console.print(Text(f"  {verdict}", "green" if is_balanced else "bold red"))


def _table(title: str, width: int, *headers: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), width=width)
    for header in headers:
        table.add_column(header, header_style="dim", overflow="fold")
    return table


def _every_document(rows: list[dict[str, Any]], width: int) -> Table:
    """One line for each outcome of a document."""
    table = _table("What became of every document", width, "  provider", "what", "document", "outcome", "why not, and who acts")
    for row in sorted(rows, key=lambda one: (one["provider"] or "", one["status"] in ("rejected", "failed", "skipped"), one["type"] or "")):
        owner = f" ({row['owner']})" if row["owner"] not in (None, "nobody") else ""
        why = f"{row['sentence'] or row['reason']}{owner}" if row["reason"] else ""
        status = Text(row["status"], STYLES.get(row["status"], ""))
        table.add_row(f"  {row['provider'] or 'unknown'}", _plain(row["type"]), (row["document"] or "")[:8], status, Text(why, "dim"))
    return table


def _by_reason(rows: list[dict[str, Any]], width: int) -> Table:
    """Counts of what is not on the platform, why, and who acts."""
    table = _table("Not on the platform, and why", width, "  count", "reason", "what happened", "who acts")
    counts = Counter((row["reason"], row["sentence"] or "", row["owner"] or "developers") for row in rows if row["reason"])
    for (reason, sentence, owner), count in counts.most_common():
        table.add_row(f"  {count}", reason, sentence, owner)
    return table


def _by_provider(rows: list[dict[str, Any]], width: int) -> Table:
    """Counts of outcomes by provider."""
    statuses = [one for one in STYLES if any(row["status"] == one for row in rows)]
    table = _table("By provider", width, "  provider")
    for one in statuses:
        table.add_column(one, justify="right", style=STYLES[one], header_style="dim")
    counts = Counter((row["provider"] or "unknown", row["status"]) for row in rows)
    for provider in sorted({provider for provider, _ in counts}):
        table.add_row(f"  {provider}", *(str(counts[provider, one] or "·") for one in statuses))
    return table


def _plain(kind: str | None) -> str:
    """`lab_report` as people write it; nothing where the type never became known."""
    return "" if kind is None or kind in ACTIONS else kind.replace("_", " ")
