"""Writes the generated references in docs/ from the code: `python -m services.references [--check]`."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from pydantic_settings import BaseSettings

from services.carepatron_writer.platforms.fhir_r4.settings import FhirSettings
from services.carepatron_writer.settings import AccountSettings
from shared.events import Event, EventType
from shared.outcomes import PLAYBOOK, Action, Reason, Status
from shared.settings import PlatformSettings
from shared.topics import TOPICS

NOTE = "<!-- written by `python -m services.references`; do not edit -->\n"
DOCS = Path(__file__).parent.parent / "docs"
SERVICES = ("ingest", "normalizer", "carepatron_writer", "audit")


def configuration() -> str:
    """docs/configuration.md: every setting with its variable, default and meaning."""
    parts = [f"# Configuration\n\n{NOTE}\nEnvironment first, then `.env`.\n", _settings_table("Every service", PlatformSettings, "")]
    for name in SERVICES:
        settings = import_module(f"services.{name}.settings").Settings
        parts.append(_settings_table(name, settings, str(settings.model_config["env_prefix"])))
    parts.append(_settings_table("the account of each destination (prefix: the destination's id)", AccountSettings, "CAREPATRON_"))
    parts.append(_settings_table("a destination on a FHIR R4 server, besides", FhirSettings, "FHIR_"))
    return "\n".join(parts)


def _settings_table(title: str, settings: type[BaseSettings], prefix: str) -> str:
    lines = [f"## {title}\n", "| variable | default | what it does |", "|---|---|---|"]
    for name, field in settings.model_fields.items():
        if name == "platform":
            continue
        default = "" if field.default is None or not field.repr or field.is_required() else str(field.default)
        lines.append(f"| `{(prefix + name).upper()}` | {f'`{default}`' if default else ''} | {field.description or ''} |")
    return "\n".join(lines) + "\n"


def events() -> str:
    """docs/events.md: topics, envelope, event types, statuses."""
    lines = [f"# Events\n\n{NOTE}\n## Topics\n", "| topic | value | key | partitions | kept |", "|---|---|---|---|---|"]
    lines += [f"| `{one.name}` | {one.what} | {one.key} | {one.partitions} | {one.retention_days} d |" for one in TOPICS]
    lines += [
        "\n## Envelope\n\nCloudEvents 1.0, Kafka binary mode: the value is the data, attributes are headers.\n",
        "| header | meaning |",
        "|---|---|",
    ]
    comments = comments_of("shared/events.py", "class Event:")
    plain = {"contenttype": "content-type", "traceparent": "traceparent"}
    lines += [f"| `{plain.get(name, 'ce_' + name)}` | {comments.get(name, '')} |" for name in Event.__dataclass_fields__ if name != "data"]
    types = comments_of("shared/events.py", "class EventType")
    lines += ["\n## Event types\n", "| `ce_type` | meaning |", "|---|---|"]
    lines += [f"| `{one.value}` | {types.get(one.name, '')} |" for one in EventType]
    for title, enum in (("Actions", Action), ("Statuses", Status)):
        known = comments_of("shared/outcomes.py", f"class {enum.__name__}(")
        lines += [
            f"\n## {title}\n",
            "| value | meaning |",
            "|---|---|",
            *(f"| `{one.value}` | {known.get(one.name, '')} |" for one in enum),
        ]
    return "\n".join(lines) + "\n"


def runbook() -> str:
    """docs/runbook.md: each reason with who acts and what to do."""
    lines = [f"# Runbook\n\n{NOTE}\nWhy a document is not on the platform, who acts, and what to do.\n"]
    lines += ["| reason | who acts | what happened | what to do |", "|---|---|---|---|"]
    lines += [f"| `{one.value}` | {PLAYBOOK[one].owner.value} | {PLAYBOOK[one].sentence} | {PLAYBOOK[one].fix} |" for one in Reason]
    return "\n".join(lines) + "\n"


def comments_of(file: str, opening: str) -> dict[str, str]:
    """The one-line comments behind the members of a class, by member."""
    text = (DOCS.parent / file).read_text("utf-8").partition(opening)[2].partition("\n\n\n")[0]
    found: dict[str, str] = {}
    for line in text.splitlines():
        member, mark, comment = line.partition("  # ")
        name = member.strip().partition(" ")[0].partition(":")[0]
        if mark and name.isidentifier():
            found[name] = comment.strip()
    return found


REFERENCES: dict[str, Callable[[], str]] = {"configuration.md": configuration, "events.md": events, "runbook.md": runbook}


def main() -> int:
    """Write them, or with --check say which are out of date."""
    is_check = "--check" in sys.argv
    stale = []
    for name, make in REFERENCES.items():
        file, text = DOCS / name, make()
        if is_check and (not file.exists() or file.read_text("utf-8") != text):
            stale.append(name)
        elif not is_check:
            file.write_text(text, "utf-8")
    for name in stale:
        print(f"docs/{name} is out of date: run python -m services.references")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
