"""A document as plain text: what goes to platforms that take no PDF, and what is left when no PDF can be made."""

from collections.abc import Iterable

from services.carepatron_writer.rendering.summary import abnormal_lines, dietary_lines
from services.carepatron_writer.rendering.words import clean, kind_of, name_of, shown_value, size_of, title_of, unsaid
from shared.canonical.elements import Attachment, Result, Section
from shared.canonical.models import HealthcareDocument


def render_text(document: HealthcareDocument) -> bytes:
    """Everything that the document says, as UTF-8 text."""
    content = document.content
    head = " | ".join(one for one in (kind_of(document), document.date, document.status) if one)
    blocks = [f"{title_of(document)}\n{head}"]
    people = [f"Author: {', '.join(document.authors)}"] if document.authors else []
    people += [f"From: {document.source.organization}"] if document.source.organization else []
    if people:
        blocks.append("\n".join(people))
    blocks += _block("Diet and allergies, as stated here", dietary_lines(document), "- ")
    blocks += _block("Outside the expected range", abnormal_lines(document), "- ")
    blocks += [_section(one) for one in content.sections if (one.text or "").strip()]
    blocks += _block("Results", [_result(one) for one in content.results])
    text = clean(content.text or "")
    left = unsaid(text, [line for block in blocks for line in (block, *block.split("\n", 2)[2:])])
    blocks += [left] if left else []
    blocks += _block("Files with the source", [file_line(one) for one in content.attachments], "- ")
    return (clean("\n\n".join(blocks)) + "\n").encode()


def file_line(file: Attachment) -> str:
    """A file of the source, named."""
    return clean(f"{file.title or 'Untitled'} ({', '.join(one for one in (file.media_type, size_of(file)) if one)})")


def _block(title: str, lines: Iterable[str], mark: str = "") -> list[str]:
    shown = "\n".join(f"{mark}{line}" for line in lines if line.strip())
    return [f"{title}\n{'-' * len(title)}\n{shown}"] if shown else []


def _section(section: Section) -> str:
    title = clean(section.title or section.code or "Section")
    return f"{title}\n{'-' * len(title)}\n{clean(section.text or '')}"


def _result(result: Result) -> str:
    parts = [f"{name_of(result)}: {shown_value(result.value)}"]
    parts += [str(result.interpretation)] if result.interpretation else []
    parts += [f"(range {result.reference_range})"] if result.reference_range else []
    parts += [f"[{result.status}]"] if result.status not in ("final", "unknown") else []
    parts += [f"at {result.effective}"] if result.effective else []
    return clean(" ".join(parts))
