"""What reading an entry needs beside the entry: the narrative it refers to, where it stands, the provider's zone, the warnings."""

from services.normalizer.readers.ccda_narrative import References, render_inline
from services.normalizer.readers.texts import plain_text
from shared.canonical.reading import Warning
from shared.formats.cda_times import read_time
from shared.formats.cda_tree import Element, attribute, child, local_name

MAX_WARNINGS = 100
_PASSAGES = frozenset(("tr", "table", "thead", "tbody", "list", "text"))  # what they hold is more than a name
_MARKED_UP = ("text/html", "text/rtf", "application/rtf")


class Context:
    """References, the section, the provider's zone; collects warnings."""

    def __init__(self, references: References, time_zone: str, warnings: list[Warning]) -> None:
        self.references = references
        self.time_zone = time_zone
        self.warnings = warnings
        self.section: Element | None = None
        self.where = ""

    def warn(self, code: str, *, once: bool = False) -> None:
        """Remember something odd at the present place, or (`once`) the first time in the document only."""
        known = any(one.code == code and (once or one.where == self.where) for one in self.warnings)
        if not known and len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(Warning(code, self.where or None))

    def text(self, element: Element | None) -> str | None:
        """The text of an ED element: what it refers to in the narrative, else what it holds. Base64 is no text."""
        if element is None:
            return None
        if (target := self._target(element)) is not None and (found := self.references.text(target)):
            return found
        if element.get("representation") == "B64":
            return None
        text = render_inline(element)
        media_type = element.get("mediaType")
        if text and media_type in _MARKED_UP:
            return plain_text("".join(str(one) for one in element.itertext()).encode(), media_type)
        return text

    def is_passage(self, element: Element | None) -> bool:
        """Whether an ED element refers to a whole row or table and not to the words for one thing."""
        target = self._target(element) if element is not None else None
        return target is not None and local_name(target) in _PASSAGES

    def _target(self, element: Element) -> Element | None:
        if self.section is None:
            return None
        # most ED elements are a text or a reference alone
        reference = child(element, "reference") if len(element) else None
        return self.references.target(attribute(reference, "value"), self.section) if reference is not None else None

    def time(self, element: Element | None) -> str | None:
        """A TS, or the beginning of an IVL_TS, with the precision it came with."""
        if element is None:
            return None
        for one in (element, child(element, "low"), child(element, "center")):
            written = attribute(one, "value")
            if written is None:
                continue
            time = read_time(written, self.time_zone)
            if time is None:
                self.warn("date_not_understood")
                return None
            if time.time_without_zone:
                self.warn("time_without_zone", once=True)
            return time.text
        return None
