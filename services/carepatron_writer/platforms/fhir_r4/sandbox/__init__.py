"""A strict FHIR R4 server for tests: stricter than real ones in what it takes, and as odd as they are where a switch says so."""

from services.carepatron_writer.platforms.fhir_r4.sandbox.app import FhirServer
from services.carepatron_writer.platforms.fhir_r4.sandbox.switches import Switches
from services.carepatron_writer.platforms.fhir_r4.sandbox.tokens import TokenDoor

__all__ = ["FhirServer", "Switches", "TokenDoor"]
