"""`healthcare-records up` with real Kafka and PostgreSQL, and small stand-ins for our own services and errands."""

import http.server
import os
import sys

PREFIXES = {"sandbox": "SANDBOX", "audit": "AUDIT", "writer": "CAREPATRON_WRITER", "normalizer": "NORMALIZER", "ingest": "INGEST"}


class Handler(http.server.BaseHTTPRequestHandler):
    """Always ready."""

    def do_GET(self) -> None:
        """Say so."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def stand_in(arguments: list[str]) -> None:
    """`serve NAME` answers until it is stopped; anything else ends well."""
    if arguments[0] == "serve":
        port = int(os.environ[f"{PREFIXES[arguments[1]]}_HTTP_PORT"])
        http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()


def up() -> None:
    """The command, its services replaced."""
    import typer

    from deploy.local import cli, system

    system.COMMAND = (sys.executable, __file__, "stand-in")  # type: ignore[assignment]
    app = typer.Typer()
    app.command()(cli.up)
    app()


if __name__ == "__main__":
    if sys.argv[1:2] == ["stand-in"]:
        stand_in(sys.argv[2:])
    else:
        up()
