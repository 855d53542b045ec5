"""Reading inside the service: small text on the spot, everything large or binary in a process that may be killed."""

from services.normalizer.readers.embedded import PdfText, pdfs_in, put_texts, read_pdfs
from services.normalizer.reading import read_outside
from shared.canonical.reading import Format, ProviderProfile, Reading, rejected
from shared.isolation import Isolated, Stopped
from shared.logs import get_logger
from shared.outcomes import Reason

HEAVY = frozenset({"pdf", "image"})  # read by C libraries
logger = get_logger(__name__)


def read_apart(content: bytes, provider: ProviderProfile, format: Format | None, media_type: str | None) -> Reading:
    """What runs in the process."""
    return read_outside(content, provider, format=format, media_type=media_type)


class GuardedReader:
    """Reads one message or document; a reader that takes too long or breaks its process gives `parse_timeout`.

    PDFs inside are read after it: what they break costs their text, not the document.
    """

    def __init__(self, *, inline_bytes: int, read_seconds: float, read_memory_bytes: int) -> None:
        self._inline_bytes = inline_bytes
        self._apart = Isolated(read_apart, seconds=read_seconds, memory_bytes=read_memory_bytes)
        self._pdfs = Isolated(read_pdfs, seconds=read_seconds, memory_bytes=read_memory_bytes)

    async def read(self, content: bytes, provider: ProviderProfile, format: Format | None, media_type: str | None) -> Reading:
        """Read without holding up the event loop. Raises only for a defect of ours."""
        if len(content) <= self._inline_bytes and format not in HEAVY:
            reading = read_outside(content, provider, format=format, media_type=media_type)
        else:
            try:
                reading = await self._apart(content, provider, format, media_type)
            except Stopped as error:
                logger.warning("reading_given_up", size=len(content), format=format, why=str(error))
                return rejected(format or "unknown", Reason.PARSE_TIMEOUT)
        if pdfs := pdfs_in(reading):
            put_texts(reading, await self._texts(pdfs))
        return reading

    async def _texts(self, pdfs: dict[str, bytes]) -> dict[str, PdfText]:
        try:
            return await self._pdfs(pdfs)
        except Stopped as error:
            logger.warning("pdfs_given_up", size=sum(map(len, pdfs.values())), count=len(pdfs), why=str(error))
            return {}

    async def aclose(self) -> None:
        """End the processes."""
        await self._apart.aclose()
        await self._pdfs.aclose()
