"""Settings of one FHIR account, beside those that every account has."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from shared.settings import settings_config


class FhirSettings(BaseSettings):
    """Environment prefix: the destination's id in capitals, as for the account; FHIR_ for the destination `fhir`."""

    model_config = settings_config("FHIR_")

    token_url: str = Field(default="", description="token endpoint of SMART Backend Services; none: no login (this machine only)")
    client_id: str = Field(default="", description="our id at the token endpoint")
    private_key_file: Path | None = Field(default=None, description="our private key, PEM or JWK: RSA (RS384) or EC P-384 (ES384)")
    key_id: str = Field(default="", description="kid of the key in our JWKS; none: as the JWK says")
    scope: str = Field(
        default="system/Patient.crus system/DocumentReference.crus system/Binary.cru", description="what we ask for; grants may be narrower"
    )
    inline_max_bytes: int = Field(default=5 << 20, ge=0, description="larger content goes into a Binary (US Core: servers take 5 MiB)")
    supersede: Literal["in_place", "new_document"] = Field(
        default="in_place", description="a new version changes its DocumentReference, or is a new one that replaces it (US Core style)"
    )
    submission: Literal["rest", "iti_65", "iti_105"] = Field(
        default="rest", description="how documents are sent: plain REST, or IHE MHD Provide Bundle or Simplified Publish"
    )
    source_oid: str = Field(default="", description="our OID, for the SubmissionSet of IHE MHD: urn:oid:…")
    custodian: str = Field(default="", description="who keeps the documents there; none: the organization that they come from")
