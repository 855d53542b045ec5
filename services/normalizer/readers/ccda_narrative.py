"""The narrative of a CDA section as readable text: tables stay rows, lists stay items. References into it are looked up here."""

import re
from collections.abc import Iterable

from lxml import etree

from shared.formats.cda_tree import Element

_SPACES = re.compile(r"[ \t\r\n\f\xa0]+")
_BLOCKS = frozenset(
    (
        *(
            "paragraph",
            "list",
            "item",
            "table",
            "caption",
            "thead",
            "tbody",
            "tfoot",
            "tr",
            "text",
            "section",
            "footnote",
            "renderMultiMedia",
        ),
        *("p", "div", "ul", "ol", "li", "pre", "blockquote", "center", "h1", "h2", "h3", "h4", "h5", "h6"),
    )
)
_LISTS = frozenset(("list", "ul", "ol"))
_ITEMS = frozenset(("item", "li"))
_ROW_GROUPS = frozenset(("thead", "tbody", "tfoot"))
_UNSEEN = frozenset(("script", "style", "colgroup", "col", "head"))
_MAX_REFERENCED = 5_000_000  # characters that entries may take from the narrative, all together
_MAX_SAME_ID = 20
_REACHES = frozenset(map(str, range(2, 1_000)))  # rowspans that are meant
_MAX_COLUMNS = 64  # into which a cell of another row may reach
_MARKED = etree.XPath("descendant::*[@ID]")


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def render(element: Element) -> str | None:
    """The readable text, None when there is none. Deleted passages (`revised="delete"`) are left out."""
    return "\n".join(_lines(element)) or None


def render_inline(element: Element) -> str | None:
    """The text on one line."""
    line = _row(element) if _name(element) == "tr" else "; ".join(_lines(element))
    return line or None


def _lines(element: Element) -> list[str]:
    if _name(element) == "pre":
        return _kept(element)
    if len(element) == 0:
        return _folded(element.text)
    lines: list[str] = []
    inline: list[str] = []
    _flow(element, inline, lines)
    _flush(inline, lines)
    return lines


def _flow(element: Element, inline: list[str], lines: list[str]) -> None:
    """Runs of text gather in `inline` until a block or a break ends the line."""
    inline.append(element.text or "")
    for child in element:
        name = _name(child)
        if name == "br":
            _flush(inline, lines)
        elif name in _BLOCKS:
            _flush(inline, lines)
            lines += _block(child, name)
        elif name not in _UNSEEN and child.get("revised") != "delete":
            _flow(child, inline, lines)
        inline.append(child.tail or "")


def _block(element: Element, name: str) -> list[str]:
    if element.get("revised") == "delete":
        return []
    if name in _LISTS:
        return [line for child in element for line in (_item(child) if _name(child) in _ITEMS else _lines(child))]
    if name == "table":
        return _table(element)
    if name == "tr":
        return [row] if (row := _row(element)) else []
    return _item(element) if name in _ITEMS else _lines(element)


def _item(element: Element) -> list[str]:
    lines = _lines(element)
    return [f"{'- ' if at == 0 else '  '}{line}" for at, line in enumerate(lines)]


def _table(element: Element, spanned: dict[int, int] | None = None) -> list[str]:
    """The rows; `spanned` counts for each column how many more rows a cell from above reaches into."""
    lines: list[str] = []
    spanned = {} if spanned is None else spanned
    for child in element:
        name = _name(child)
        if name in _ROW_GROUPS:
            lines += _table(child, spanned)
        elif name == "tr":
            if row := _row(child, spanned):
                lines.append(row)
        elif name not in _UNSEEN:
            lines += _lines(child)
    return lines


def _row(element: Element, spanned: dict[int, int] | None = None) -> str:
    spanned = {} if spanned is None else spanned
    cells: list[str] = []
    for cell in element:
        if cell.get("revised") == "delete":
            continue
        while spanned.get(len(cells), 0) > 0:  # the cell above holds for this row too
            spanned[len(cells)] -= 1
            cells.append("")
        reach = cell.get("rowspan")
        if reach in _REACHES and len(cells) < _MAX_COLUMNS:
            spanned[len(cells)] = int(reach or 1) - 1
        cells.append("; ".join(line.strip() for line in _lines(cell)))
    for column in range(len(cells), max(spanned, default=-1) + 1):
        spanned[column] = max(0, spanned.get(column, 0) - 1)
    return " | ".join(cells).rstrip(" |") if any(cells) else ""


def _flush(inline: list[str], lines: list[str]) -> None:
    lines += _folded("".join(inline))
    inline.clear()


def _folded(text: str | None) -> list[str]:
    folded = _SPACES.sub(" ", text).strip() if text else ""
    return [folded] if folded else []


def _kept(element: Element) -> list[str]:
    return [line.rstrip() for line in "".join(_texts(element)).splitlines() if line.strip()]


def _texts(element: Element) -> Iterable[str]:
    return (str(one) for one in element.itertext())


class References:
    """Finds the narrative that an entry points at. The same ID twice in a file means the one in the entry's own section."""

    def __init__(self, root: Element) -> None:
        self._root = root
        self._by_id: dict[str, list[Element]] | None = None
        self._left = _MAX_REFERENCED

    def target(self, reference: str | None, near: Element) -> Element | None:
        """The element behind `#id`; None when it leads nowhere in this document."""
        if not reference:
            return None
        if self._by_id is None:
            self._by_id = self._index()
        targets = self._by_id.get(reference.removeprefix("#"), [])
        if len(targets) <= 1:
            return targets[0] if targets else None
        return next((one for one in targets if any(ancestor is near for ancestor in one.iterancestors())), targets[0])

    def text(self, target: Element) -> str | None:
        """The text of an element; None when entries repeat the narrative without end."""
        if self._left <= 0:
            return None
        # an empty anchor stands before the words that it marks
        text = render_inline(target) or "; ".join(_folded(target.tail)) or None
        self._left -= len(text or "")
        return text

    def _index(self) -> dict[str, list[Element]]:
        found: dict[str, list[Element]] = {}
        marked = _MARKED(self._root)
        for one in marked if isinstance(marked, list) else ():
            if not isinstance(one, etree._Element):
                continue
            same = found.setdefault(one.get("ID") or "", [])
            if len(same) < _MAX_SAME_ID:
                same.append(one)
        return found
