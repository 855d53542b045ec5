"""Files that name neither themselves nor a patient (PDF, image, RTF, text): their digest is their identity."""

from shared.canonical.reading import ProviderProfile
from shared.formats import LightLook
from shared.identity import digest, document_id, source_version


def canonical_key(content: bytes) -> str:
    """The key of a document known by its bytes only; any change makes another document."""
    return f"sha256:{digest(content)}"


def light_identity(content: bytes, provider: ProviderProfile) -> LightLook:
    """The document's id and version; the patient is for the publisher to name."""
    return LightLook(None, document_id(provider.provider_id, canonical_key(content)), None, source_version("file"))
