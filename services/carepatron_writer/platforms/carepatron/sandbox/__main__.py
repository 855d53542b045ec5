"""`python -m services.carepatron_writer.platforms.carepatron.sandbox` serves it."""

import uvloop

from services.carepatron_writer.platforms.carepatron.sandbox.app import serve_sandbox

if __name__ == "__main__":
    uvloop.run(serve_sandbox())
