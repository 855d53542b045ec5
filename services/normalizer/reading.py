"""One pure function from bytes to a reading, whatever the format; used by the service, by its reading process and offline."""

from collections.abc import Callable

from services.normalizer.localizing import localize
from services.normalizer.readers.ccda import read_ccda
from services.normalizer.readers.embedded import pdfs_in, put_texts, read_pdfs
from services.normalizer.readers.fhir import read_fhir, read_json
from services.normalizer.readers.hl7v2 import read_hl7v2
from services.normalizer.readers.other import read_other
from shared.canonical.reading import Format, Losses, ProviderProfile, Reading, rejected
from shared.formats.recognise import recognise
from shared.outcomes import Reason

READERS: dict[Format, Callable[[bytes, ProviderProfile], Reading]] = {
    "hl7v2": read_hl7v2,
    "fhir": read_fhir,
    "ccda": read_ccda,
    "json": read_json,
}


def read_content(content: bytes, provider: ProviderProfile, *, format: Format | None = None, media_type: str | None = None) -> Reading:
    """Read one message or document with all that is inside; recognises the format when it is not given."""
    reading = read_outside(content, provider, format=format, media_type=media_type)
    if pdfs := pdfs_in(reading):
        put_texts(reading, read_pdfs(pdfs))
    return reading


def read_outside(content: bytes, provider: ProviderProfile, *, format: Format | None = None, media_type: str | None = None) -> Reading:
    """The same without the texts of the PDFs inside."""
    if not content.strip(b"\xef\xbb\xbf \t\r\n\x00"):
        return rejected("unknown", Reason.EMPTY_CONTENT)
    known = format or recognise(content, media_type)
    reader = READERS.get(known)
    reading = reader(content, provider) if reader else read_other(content, known, provider, media_type=media_type)
    if provider.codes or provider.document_types:
        localize(reading, provider)
    if reading.losses is None and reading.outcome == "normalized":
        reading.losses = Losses(mapped=1)  # a file without named elements: it is kept as a whole
    return reading
