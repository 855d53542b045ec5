"""A document as a platform shows it: the one file that says everything, else a PDF, else text. Equal documents make equal bytes.

Here stands what is pure. `printing.render` makes PDFs; the service calls it through `isolated.Renderer`, in processes of its own.
"""

from services.carepatron_writer.rendering.choice import RENDERING, choose_file, platform_version, upload_of, wanted_files
from services.carepatron_writer.rendering.rendered import Rendered, is_readable
from services.carepatron_writer.rendering.summary import abnormal_lines, change_entry, dietary_lines
from services.carepatron_writer.rendering.text import render_text
from services.carepatron_writer.rendering.words import clean

__all__ = [
    "RENDERING",
    "Rendered",
    "abnormal_lines",
    "change_entry",
    "choose_file",
    "clean",
    "dietary_lines",
    "is_readable",
    "platform_version",
    "render_text",
    "upload_of",
    "wanted_files",
]
