"""`healthcare-records`: puts together the commands that the services and deploy/local offer."""

import os
import sys
from importlib import import_module

from shared.errors import Misconfigured, Unavailable

SERVICES = {
    "ingest": "services.ingest.app",
    "normalizer": "services.normalizer.app",
    "writer": "services.carepatron_writer.app",
    "audit": "services.audit.app",
    "sandbox": "services.carepatron_writer.sandbox_app",
}
EXIT_TROUBLE, EXIT_USAGE = 1, 2


def main() -> None:
    """The entry point. A service loads nothing but itself; every other command finds the system that runs here."""
    if sys.argv[1:2] == ["serve"] and len(sys.argv) == 3 and sys.argv[2] in SERVICES:
        sys.exit(import_module(SERVICES[sys.argv[2]]).serve())
    from deploy.local.runtime import environment, home_folder, read_runtime

    running = read_runtime(home_folder())
    for name, value in (environment(running) if running else {}).items():
        os.environ.setdefault(name, value)
    try:
        run_command()
    except Misconfigured as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except Unavailable as error:
        print(f"{error}. Is the system running? Start it with `healthcare-records up`.", file=sys.stderr)
        sys.exit(EXIT_TROUBLE)


def run_command() -> None:
    """Build the command line and run what was asked for."""
    import typer

    import services.audit.chain_cli
    import services.audit.cli
    import services.carepatron_writer.cli
    import services.ingest.cli
    import services.ingest.replay_cli
    import services.normalizer.cli
    import services.operations_cli
    import services.verify_cli
    from deploy.local import cli as local

    app = typer.Typer(
        name="healthcare-records",
        help="Move patients' documents from their provider into the dietician's platform, and prove what became of each.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    local.register(app)
    services.ingest.cli.register(app)
    services.normalizer.cli.register(app)
    services.ingest.replay_cli.register(app)
    services.audit.cli.register(app)
    services.verify_cli.register(app)
    services.audit.chain_cli.register(app)
    services.carepatron_writer.cli.register(app)
    services.operations_cli.register(app, SERVICES)
    app()


if __name__ == "__main__":
    main()
