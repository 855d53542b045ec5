"""Sheets become PDFs: typst with its own fonts and one fixed template. Words come in as data, files as open descriptors.

The template names nothing that a document could choose; nothing is fetched, nothing lies on the disk, whatever ends the process.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.resources import files
from tempfile import TemporaryFile
from typing import Any

import orjson

os.environ.setdefault("RAYON_NUM_THREADS", "1")  # pages like these are made on one thread; the other cores have work of their own

import typst  # after what it reads when it is loaded

_TEMPLATE = files(__package__).joinpath("document.typ").read_bytes()
_DESCRIPTORS = "/dev/fd"
_CHARACTERS = b"#set document(title: [x], date: datetime(year: 2000, month: 1, day: 1))\n#sys.inputs.text"
_PAGE = b'#set page(width: auto, height: auto)\n#let i = json(bytes(sys.inputs.data))\n#image(json(bytes(sys.inputs.files)).at("x"), ..i)'


class NotMade(Exception):
    """Typst could not make the document. No text: it might quote content."""


class Press:
    """A typst compiler that is kept: fonts are read once, and what does not change is not laid out again."""

    def __init__(self) -> None:
        fonts = typst.Fonts(include_system_fonts=False)  # the same bytes on every machine
        nowhere = os.devnull
        self._compiler = typst.Compiler(
            font_paths=fonts, ignore_system_fonts=True, root=_DESCRIPTORS, package_path=nowhere, package_cache_path=nowhere
        )
        self.known: set[str] = set()  # characters that the fonts are known to have

    def shows(self, text: str) -> bool:
        """Whether the fonts have all of it: PDF/A allows no character without a glyph (ISO 19005-2, 6.2.11.8), so typst says."""
        with suppress(typst.TypstError):
            self._compiler.compile(input=_CHARACTERS, format="pdf", sys_inputs={"text": text}, pdf_standards=["a-2b"])
            return True
        return False

    def make(self, sheet: Mapping[str, Any], originals: Mapping[str, bytes]) -> bytes:
        """The PDF; the sheet calls its files by their names in `originals`. Raises NotMade."""
        return self._compile(_TEMPLATE, sheet, originals)

    def opens(self, data: bytes, media: str, page: int) -> bool:
        """Whether typst can show a page of a file."""
        with suppress(NotMade):
            self._compile(_PAGE, {"format": media, "page": page}, {"x": data})
            return True
        return False

    def _compile(self, template: bytes, data: Mapping[str, Any], originals: Mapping[str, bytes]) -> bytes:
        with _opened(originals) as places:
            inputs = {"data": orjson.dumps(data).decode(), "files": orjson.dumps(places).decode()}
            try:
                made = self._compiler.compile(input=template, format="pdf", sys_inputs=inputs, pdf_tags=bool(data.get("tagged")))
            except typst.TypstError:
                raise NotMade from None
        if not isinstance(made, bytes):
            raise NotMade
        return made


@contextmanager
def _opened(originals: Mapping[str, bytes]) -> Iterator[dict[str, str]]:
    """Where typst finds each of the files."""
    holders = []
    try:
        places = {}
        for name, data in originals.items():
            holder = _holder()
            holders.append(holder)
            holder.write(data)
            holder.flush()
            holder.seek(0)
            places[name] = f"/{holder.fileno()}"
        yield places
    finally:
        for holder in holders:
            holder.close()


def _holder() -> Any:
    """A file without a name, in memory where the system can."""
    return os.fdopen(os.memfd_create("original"), "wb+") if hasattr(os, "memfd_create") else TemporaryFile()
