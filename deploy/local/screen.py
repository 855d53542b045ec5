"""Shows the parts of the system: a live table on a terminal, plain lines elsewhere. Always on standard error."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.local.supervisor import Part

STYLES = {
    "waiting": ("·", "dim"),
    "starting": ("…", "yellow"),
    "ready": ("●", "green"),
    "done": ("✓", "green"),
    "not ready": ("◐", "yellow"),
    "down": ("✗", "red"),
    "failed": ("✗", "bold red"),
    "stopping": ("…", "dim"),
    "stopped": ("○", "dim"),
}


class PlainScreen:
    """One line for each change."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._addresses: dict[str, str] = {}

    def expect(self, parts: Sequence[Part]) -> None:
        """Know the parts and their addresses."""
        self._addresses = {one.name: one.address for one in parts}

    def show(self, name: str, state: str, note: str = "") -> None:
        """Show the state of a part."""
        mark, style = STYLES[state]
        address = self._addresses.get(name, "") if state == "ready" else ""
        line = Text.assemble((mark, style), f" {name:<11}", (f"{state:<10}", style), " ".join(one for one in (address, note) if one))
        self.console.print(Text.assemble("  ", line), soft_wrap=True)

    def say(self, text: str) -> None:
        """Say a sentence."""
        self.console.print(Text(f"  {text}"), soft_wrap=True)

    def settle(self) -> None:
        """From now on plain lines: something else is shown."""


class LiveScreen(PlainScreen):
    """A table that keeps up with the parts, until it settles."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._states: dict[str, tuple[str, str]] = {}
        self._began = time.monotonic()
        self._live: Live | None = Live(self._table(), console=console, refresh_per_second=8, get_renderable=self._table)

    def expect(self, parts: Sequence[Part]) -> None:
        """Know the parts and start to show them."""
        super().expect(parts)
        self._states = {one.name: ("waiting", "") for one in parts}
        if self._live:
            self._live.start()

    def show(self, name: str, state: str, note: str = "") -> None:
        """Show the state of a part."""
        self._states[name] = (state, note)
        if self._live is None:
            super().show(name, state, note)

    def settle(self) -> None:
        """Leave the table as it is now and go on with plain lines."""
        if self._live:
            self._live.stop()
            self._live = None

    def _table(self) -> Table:
        table = Table(
            box=None, padding=(0, 2, 0, 0), title=f"healthcare-records · {time.monotonic() - self._began:.0f} s", title_justify="left"
        )
        for header in ("", "part", "state", "address", ""):
            table.add_column(header)
        for name, (state, note) in self._states.items():
            mark, style = STYLES[state]
            table.add_row(Text(f"  {mark}", style), name, Text(state, style), self._addresses.get(name, ""), Text(note, "dim"))
        return table


def make_screen(console: Console) -> PlainScreen:
    """The screen that fits the console."""
    return LiveScreen(console) if console.is_terminal and not console.is_dumb_terminal else PlainScreen(console)
