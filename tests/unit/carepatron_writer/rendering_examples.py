"""Documents and files for tests of the rendering, and a reader of what came out."""

import re
import unicodedata
import zlib
from io import BytesIO
from typing import Any
from uuid import UUID

import pypdfium2
import typst
from PIL import Image

from services.carepatron_writer.rendering import Rendered
from services.carepatron_writer.rendering.printing import render
from shared.canonical.elements import Attachment, Coding, Content, Result, Section, Source, Value
from shared.canonical.models import DocumentType, HealthcareDocument
from shared.identity import digest

TYPES = ("application/pdf", "image/jpeg", "image/png", "text/plain")
MAX_BYTES = 50 << 20

LDL = Result(Coding("http://loinc.org", "2089-1", "LDL"), Value("quantity", "4.90", None, "mmol/L"), "0-3", "H", "final")


def a_report(**said: Any) -> HealthcareDocument:
    """A document whose parts are given by name; those of its content too."""
    content = Content(**{name: said.pop(name) for name in ("text", "sections", "results", "attachments") if name in said})
    plain: dict[str, Any] = {"id": UUID(int=7), "patient_id": None, "type": DocumentType.LAB_REPORT, "title": "Lipid panel"}
    source = Source("provider", "Harbour GP")
    return HealthcareDocument(**{**plain, "source_version": "1", "source": source, "content": content, **said})


def a_result(name: str, number: str, **said: Any) -> Result:
    """A number with a unit."""
    return Result(
        Coding(display=name), Value("quantity", number, None, said.pop("unit", "mmol/L")), status=said.pop("status", "final"), **said
    )


def a_full_report(**said: Any) -> HealthcareDocument:
    """Something of everything."""
    plain: dict[str, Any] = {
        "date": "2026-11-02T09:30:00+01:00",
        "authors": ["Dr A. Khan"],
        "status": "preliminary",
        "text": "Potassium: 6.30 mmol/L (reference 3.5-5.1) HH\nSample slightly lipaemic.",
        "sections": [
            Section("48765-2", "Allergies", "Substance | Reaction | Status\nPeanut | Anaphylaxis | Active\nNo known allergy to shellfish"),
            Section("61144-2", "Nutrition", "- Low sodium diet\n- No grapefruit"),
            Section("8716-3", "Vital signs", "Weight     82 kg\nHeight    168 cm"),
        ],
        "results": [
            a_result(
                "Potassium",
                "6.30",
                reference_range="3.5-5.1",
                interpretation="HH",
                group="Chemistry",
                effective="2026-11-01T08:15:00+01:00",
            ),
            a_result("Sodium", "139", group="Chemistry", status="cancelled", effective="2026-11-01T08:20:00+01:00"),
            a_result("LDL", "4.90", interpretation="H", group="57698-3", effective="2026-11-01"),
        ],
    }
    return a_report(**{**plain, **said})


def a_file(data: bytes, media_type: str, title: str | None = None, **said: Any) -> Attachment:
    """An attachment of these bytes."""
    return Attachment(media_type, len(data), digest(data), title, **said)


def by_digest(*files: bytes) -> dict[str, bytes]:
    """Files as the content store gives them."""
    return {digest(one): one for one in files}


def a_pdf(*pages: str) -> bytes:
    """A PDF with a line on each page."""
    text = "\n#pagebreak()\n".join(f'#"{one}"' for one in pages)
    made = typst.Compiler(ignore_system_fonts=True).compile(input=f"#set page(height: 8cm)\n{text}".encode(), format="pdf")
    assert isinstance(made, bytes)
    return made


def a_picture(format: str = "JPEG", *, size: tuple[int, int] = (60, 40), frames: int = 1) -> bytes:
    """A red rectangle, once or several times."""
    into = BytesIO()
    one = Image.new("RGB", size, (200, 20, 20))
    more = {"save_all": True, "append_images": [one] * (frames - 1)} if frames > 1 else {}
    one.save(into, format, **more)
    return into.getvalue()


def an_encrypted_pdf() -> bytes:
    """A PDF that says it is locked with a password that nobody knows."""
    head = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    head += b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj\n"
    lock = b"<</Filter/Standard/V 1/R 2/P -4/O<" + b"11" * 32 + b">/U<" + b"22" * 32 + b">>>"
    return head + b"trailer<</Root 1 0 R/ID[<00><00>]/Encrypt " + lock + b">>\n%%EOF"


def a_form(value: str) -> bytes:
    """A PDF whose only words stand in a filled field of a form."""
    look = f"/Tx BMC BT /F 12 Tf 5 5 Td ({value}) Tj ET EMC".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[4 0 R]/DR<</Font<</F 6 0 R>>>>>>>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Annots[4 0 R]>>",
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(diet)/V("
        + value.encode()
        + b")/DA(/F 12 Tf)/Rect[20 100 280 130]/F 4/P 3 0 R/AP<</N 5 0 R>>>>",
        b"<</Type/XObject/Subtype/Form/BBox[0 0 260 30]/Resources<</Font<</F 6 0 R>>>>/Length "
        + str(len(look)).encode()
        + b">>stream\n"
        + look
        + b"\nendstream",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    made, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(made))
        made += f"{number} 0 obj".encode() + one + b"endobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    return made + f"xref\n0 7\n0000000000 65535 f \n{table}trailer<</Root 1 0 R/Size 7>>\nstartxref\n{len(made)}\n%%EOF".encode()


def a_bomb(side: int = 30_000) -> bytes:
    """A picture of a few kilobytes that would need gigabytes."""
    head = side.to_bytes(4, "big") * 2 + b"\x08\x06\x00\x00\x00"
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big") for name, data in parts
    )


def rendered(document: HealthcareDocument, *files: bytes, max_bytes: int = MAX_BYTES, media_types: tuple[str, ...] = TYPES) -> Rendered:
    """The rendering, which there must be."""
    made = render(document, by_digest(*files), media_types=media_types, max_bytes=max_bytes)
    assert made is not None
    return made


def text_of(content: bytes) -> str:
    """The words of a PDF, page after page."""
    with pypdfium2.PdfDocument(content) as pdf:
        text = "\n".join(page.get_textpage().get_text_range() for page in pdf).replace("\r\n", "\n")
    return text.replace("\x02", "-").replace("\ufffe", "-")  # how pdfium writes a hyphen at the end of a line


def pages_of(content: bytes) -> int:
    """How many pages there are."""
    with pypdfium2.PdfDocument(content) as pdf:
        return len(pdf)


def attached_to(content: bytes) -> dict[str, bytes]:
    """The files inside a PDF."""
    with pypdfium2.PdfDocument(content) as pdf:
        every = [pdf.get_attachment(number) for number in range(pdf.count_attachments())]
        return {one.get_name(): bytes(one.get_data()) for one in every}


def squeezed(text: str) -> str:
    """Text as it is compared: without anything that laying out adds or takes."""
    return re.sub(r"[\s\u200b]+", "", unicodedata.normalize("NFKC", text))


def words_of(document: HealthcareDocument) -> set[str]:
    """Every word that a document says."""
    content = document.content
    panels = {one.code for one in content.sections}  # there the section is the panel
    said: list[str | None] = [document.title, content.text, *document.authors, document.source.organization]
    said += [text for one in content.sections for text in (one.title, one.text)]
    for one in content.results:
        said += [one.code.display if one.code else None, one.value.number, one.value.unit, one.value.text, one.reference_range]
        said += [one.interpretation, None if one.group in panels else one.group, one.effective and one.effective.partition("T")[0]]
    said += [one.title for one in content.attachments]
    words = {squeezed(word.strip("|():,[]")) for text in said if text for word in text.split()}
    words = {one for one in words if not re.fullmatch(r"[-=_|:+]{3,}", one)}  # lines drawn between rows
    return words - {"", "-", "reference"}  # marks of lists, and the word of a line that only repeats a result
