"""A destination of our own that keeps the modelled contract, with a chart view and faults on demand."""

from services.carepatron_writer.platforms.carepatron.sandbox.app import SandboxSettings, create_app, serve_sandbox

__all__ = ["SandboxSettings", "create_app", "serve_sandbox"]
