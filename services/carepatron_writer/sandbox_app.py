"""`healthcare-records serve sandbox`: the modelled Carepatron destination as a process of its own."""

import sys

import uvloop

from services.carepatron_writer.platforms.carepatron.sandbox import serve_sandbox
from shared.errors import Misconfigured
from shared.logs import configure_logs, get_logger
from shared.service import EXIT_MISCONFIGURED, EXIT_OK
from shared.settings import PlatformSettings

log = get_logger(__name__)


def serve() -> int:
    """Run until SIGTERM; returns the exit code."""
    settings = PlatformSettings()
    configure_logs("sandbox", settings.log_level, settings.log_format)
    try:
        uvloop.run(serve_sandbox())
    except Misconfigured as error:
        log.error("misconfigured", why=str(error))
        return EXIT_MISCONFIGURED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(serve())
