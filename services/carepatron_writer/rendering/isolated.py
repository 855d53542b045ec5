"""Rendering beside the event loop, in processes that may be killed: a hostile file takes its process with it, not the writer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from services.carepatron_writer.rendering.rendered import Rendered, as_it_is, without_pdf
from shared.canonical.models import HealthcareDocument
from shared.isolation import Defect, Isolated, Stopped
from shared.logs import get_logger

logger = get_logger(__name__)


def render_apart(
    document: HealthcareDocument, files: Mapping[str, bytes], media_types: Sequence[str], max_bytes: int, rendering: str, shows_files: bool
) -> Rendered | None:
    """What runs in the process; typst and pdfium are loaded there only."""
    from services.carepatron_writer.rendering.printing import render

    return render(document, files, media_types=media_types, max_bytes=max_bytes, rendering=rendering, shows_files=shows_files)


class Renderer:
    """Renders documents, `processes` of them at a time. Processes start when they are needed and end when idle."""

    def __init__(
        self,
        *,
        processes: int = 1,
        seconds: float = 20.0,
        memory_bytes: int = 2 << 30,
        apart: Callable[..., Rendered | None] = render_apart,
    ) -> None:
        self._every = [Isolated(apart, seconds=seconds, memory_bytes=memory_bytes) for _ in range(max(1, processes))]
        self._free: asyncio.LifoQueue[Isolated[Rendered | None]] = asyncio.LifoQueue()
        for one in self._every:
            self._free.put_nowait(one)

    async def render(
        self,
        document: HealthcareDocument,
        files: Mapping[str, bytes],
        *,
        media_types: Sequence[str],
        max_bytes: int,
        rendering: str = "pdf",
    ) -> Rendered | None:
        """As `render`. What takes too long or ends its process is tried again without showing files, then becomes text."""
        if (unseen := as_it_is(document, files, media_types, max_bytes)) is not None:
            return unseen
        apart = await self._free.get()
        try:
            for shows_files in (True, False):  # the second in a fresh process
                try:
                    return await apart(document, dict(files), tuple(media_types), max_bytes, rendering, shows_files)
                except (Stopped, Defect) as error:
                    logger.warning("rendering_given_up", document_id=str(document.id), why=str(error))
        finally:
            self._free.put_nowait(apart)
        return without_pdf(document, files, media_types, "rendered_as_text")

    async def aclose(self) -> None:
        """End the processes."""
        for one in self._every:
            await one.aclose()
