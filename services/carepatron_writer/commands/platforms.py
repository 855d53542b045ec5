"""`healthcare-records platforms`: what is known of each platform, and whether the live one agrees."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from services.carepatron_writer.commands.common import EXIT_TROUBLE, JsonOption, console_of, open_accounts, print_json, run_work, yes_or_no
from services.carepatron_writer.destinations import PACKAGES
from services.carepatron_writer.platforms.port import Platform
from services.carepatron_writer.platforms.profile import Profile, load_profile


def list_platforms(as_json: JsonOption = False) -> None:
    """Every platform that is described, and what it can do."""
    profiles = [load_profile(package) for package in PACKAGES.values()]
    if as_json:
        print_json({"items": [{"name": one.name, "title": one.title, **asdict(one.capabilities)} for one in profiles]})
        return
    table = Table("platform", "documents", "change", "withdraw", "evidence", "title", box=None, pad_edge=False)
    for one in profiles:
        can = one.capabilities
        table.add_row(
            one.name, yes_or_no(can.write_documents), one.content.change.replace("_", " "), yes_or_no(can.withdraw), one.evidence, one.title
        )
    console_of().print(table)


def show_platform(name: Annotated[str, typer.Argument(help="Platform.")], as_json: JsonOption = False) -> None:
    """What is known of a platform, and how it is known."""
    profile = _profile(name)
    if as_json:
        print_json(profile.model_dump(mode="json"))
        return
    console = console_of()
    console.print(Text(profile.title, "bold"))
    content = profile.content
    console.print(
        f"takes {', '.join(content.media_types)}; at most {content.max_bytes:,} bytes; content changes {content.change.replace('_', ' ')}"
    )
    console.print(f"allowed: {', '.join(sorted(profile.allowed_effects))}. Everything else is refused before it is sent.", "")
    for window in profile.windows:
        console.print(f"limit {window.name}: {window.requests} in {window.seconds:g} s ({window.scope}, {window.kind}, {window.evidence})")
    table = Table("operation", "call", "does", "evidence", box=None, pad_edge=False)
    for key, one in profile.operations.items():
        is_allowed = set(one.effects) <= profile.allowed_effects
        effects = Text(", ".join(one.effects), "" if is_allowed else "red")
        table.add_row(key, f"{one.method} {one.path}", effects, one.evidence)
    console.print(table, "")
    for key, claim in profile.claims.items():
        console.print(f"{key.replace('_', ' ')}: {claim}")


def probe_platform(destination: Annotated[str, typer.Argument(help="Destination id.")], as_json: JsonOption = False) -> None:
    """Compare the live system behind a destination with its profile; changes nothing there. Exit 1 when they differ."""

    async def run() -> list[dict[str, Any]]:
        async with open_accounts() as opened:
            return [asdict(one) for one in await _known(opened, destination).probe()]

    found = run_work(run())
    if as_json:
        print_json({"destination_id": destination, "drift": found})
    elif not found:
        console_of().print(f"{destination} answers as its profile says.")
    else:
        table = Table("where", "profile", "found", box=None, pad_edge=False)
        for one in found:
            table.add_row(one["where"], one["expected"], one["found"])
        console_of().print(table)
    raise typer.Exit(EXIT_TROUBLE if found else 0)


def _known(opened: Mapping[str, Platform], destination: str) -> Platform:
    if destination not in opened:
        raise typer.BadParameter(f"{destination} is none of {', '.join(opened)}", param_hint="DESTINATION")
    return opened[destination]


def _profile(name: str) -> Profile:
    if name not in PACKAGES:
        raise typer.BadParameter(f"{name} is none of {', '.join(PACKAGES)}", param_hint="NAME")
    return load_profile(PACKAGES[name])
