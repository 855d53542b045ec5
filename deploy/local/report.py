"""What a demo shows at its end: what came, what became of it, and what needs someone."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

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


def print_report(report: dict[str, Any]) -> None:
    """Print tables that fit 100 columns."""
    console = Console(highlight=False)
    documents = [row for row in report["rows"] if row["status"] in STYLES]
    console.print()
    console.print(_by_provider(documents))
    needing = [row for row in documents if row["status"] in ("rejected", "failed", "skipped")]
    if needing:
        console.print(_by_reason(needing))
    balance = "[green]the books balance[/]" if report["books_balanced"] else "[bold red]the books do not balance[/]"
    left_out = f" · {len(report['unreadable'])} files not readable" if report["unreadable"] else ""
    console.print(
        f"  {report['published']} published · {report['received']} messages · {report['duplicates']} duplicates · "
        f"{report['in_flight']} in flight · {balance} · {report['seconds']} s{left_out}"
    )


def _by_provider(rows: list[dict[str, Any]]) -> Table:
    """Outcomes by provider."""
    statuses = [one for one in STYLES if any(row["status"] == one for row in rows)]
    table = Table(title="What became of every document", title_justify="left", title_style="bold", width=98)
    table.add_column("provider", ratio=2, overflow="fold")
    for one in statuses:
        table.add_column(one, justify="right", style=STYLES[one])
    counts = Counter((row["provider"] or "unknown", row["status"]) for row in rows)
    for provider in sorted({key for key, _ in counts}):
        table.add_row(provider, *(str(counts[provider, one] or "·") for one in statuses))
    return table


def _by_reason(rows: list[dict[str, Any]]) -> Table:
    """What is not on the platform, why, and who acts."""
    table = Table(title="Not on the platform, and why", title_justify="left", title_style="bold", width=98)
    table.add_column("", justify="right")
    table.add_column("reason", no_wrap=True)
    table.add_column("what happened", ratio=1)
    table.add_column("who acts", no_wrap=True)
    counts = Counter((row["reason"] or row["status"], row["sentence"] or "", row["owner"] or "") for row in rows)
    for (reason, sentence, owner), count in counts.most_common():
        table.add_row(str(count), reason, sentence, owner)
    return table
