"""What the fonts can show: typst itself is asked, its answers are remembered. Symbols that no font has are spelled out, scripts refused."""

import re
import unicodedata
from collections.abc import Callable, Iterable

Shows = Callable[[str], bool]  # whether the fonts have a glyph for everything in a text
BREAK = "\u200b"  # where a very long word may be broken
STEP = 8  # characters of a word that stay together
MAX_KNOWN = 50_000
# bullets and marks that word processors write with the private codes of their Symbol and Wingdings fonts
_PRIVATE = {
    "\uf0b7": "•",
    "\uf0a7": "▪",
    "\uf0d8": "➢",
    "\uf0fc": "✓",
    "\uf0e0": "→",
    "\uf0b0": "°",
    "\uf0b3": "≥",
    "\uf0a3": "≤",
    "\uf06d": "µ",
}
_UNSEEN = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff\x80-\x9f]"
)
# these join or part letters in scripts that write them joined; elsewhere they only hide
_JOINERS = re.compile("(?<![\u0590-\uffff])[\u200c\u200d]|[\u200c\u200d](?![\u0590-\uffff])")
# typst's fonts have glyphs of these scripts, but not the joined forms that make them readable
_BADLY_SHAPED = ("ARABIC", "DEVANAGARI")
_RIGHT_TO_LEFT = frozenset({"R", "AL"})


class UncoveredScript(Exception):
    """The text is in a script that the fonts do not have."""


class Characters:
    """Turns text into text that can be shown. `spelled_out` says whether anything was written otherwise than it came."""

    def __init__(self, shows: Shows, known: set[str]) -> None:
        self._shows = shows
        self._known = known  # clusters that are shown; shared by all documents of a process
        self._instead: dict[str, str] = {}
        self.is_spelled_out = False

    def learn(self, texts: Iterable[str]) -> None:
        """Look at all text of a document. Raises UncoveredScript."""
        new = {
            one for text in texts if not text.isascii() for one in _clusters(_seen(text)) if not one.isascii() and one not in self._known
        }
        if not new:
            return
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        letters = {one for one in new if unicodedata.category(one[0])[0] in "LMN"}
        self._learn_letters(letters)
        missing = self._missing(sorted(new - letters))
        self._known |= new - letters - missing
        self._instead |= {one: _spelled(one) for one in missing}

    def show(self, text: str) -> str:
        """The text as it can be shown, after it was learned."""
        seen = text if text.isascii() else _seen(text)
        if not self._instead or seen.isascii():
            return seen
        parts = [self._instead.get(one, one) for one in _clusters(seen)]
        shown = "".join(parts)
        self.is_spelled_out = self.is_spelled_out or shown != seen
        return shown

    def _learn_letters(self, letters: set[str]) -> None:
        if any(unicodedata.name(one[0], "").startswith(_BADLY_SHAPED) for one in letters):
            raise UncoveredScript
        if self._all_shown(sorted(letters)):
            self._known |= letters
            return
        plain = {one: unicodedata.normalize("NFKC", one) for one in letters}  # wide and styled forms of other letters
        changed = {one: form for one, form in plain.items() if form != one}
        if not self._all_shown(sorted(set(plain.values()))):
            raise UncoveredScript
        self._known |= letters - changed.keys()
        self._instead |= changed

    def _missing(self, clusters: list[str]) -> set[str]:
        if not clusters or self._all_shown(clusters):
            return set()
        if len(clusters) == 1:
            return set(clusters)
        middle = len(clusters) // 2
        return self._missing(clusters[:middle]) | self._missing(clusters[middle:])

    def _all_shown(self, clusters: list[str]) -> bool:
        if any(unicodedata.category(character) in ("Co", "Cn") for one in clusters for character in one):
            return False  # fonts do have glyphs at private codes, of something else
        return not clusters or self._shows(" ".join(clusters))


def breakable(text: str, width: int) -> str:
    """Text whose words of more than `width` characters may be broken."""
    if len(text) <= width:
        return text
    return re.sub(rf"\S{{{width + 1},}}", lambda word: BREAK.join(word[0][at : at + STEP] for at in range(0, len(word[0]), STEP)), text)


def is_right_to_left(text: str) -> bool:
    """Whether the first letter that has a direction runs to the left (UAX #9, P2)."""
    if text.isascii():
        return False
    strong = next((kind for kind in map(unicodedata.bidirectional, text) if kind in ("L", "R", "AL")), "L")
    return strong in _RIGHT_TO_LEFT


def _seen(text: str) -> str:
    """Without what is not seen, marks of direction too: they can turn a sentence around."""
    text = _JOINERS.sub("", _UNSEEN.sub("", text))
    return "".join(_PRIVATE.get(one, one) for one in text) if any("\uf000" <= one <= "\uf0ff" for one in text) else text


def _clusters(text: str) -> list[str]:
    """Each character with the marks that stand on it; many marks stand alone."""
    clusters: list[str] = []
    for one in text:
        if clusters and unicodedata.category(one)[0] == "M" and len(clusters[-1]) < 5:
            clusters[-1] += one
        else:
            clusters.append(one)
    return clusters


def _spelled(cluster: str) -> str:
    names = [unicodedata.name(one, "").lower() or f"U+{ord(one):04X}" for one in cluster]
    return "".join(f"[{one}]" for one in names)
