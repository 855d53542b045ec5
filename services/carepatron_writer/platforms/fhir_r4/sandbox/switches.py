"""How a server differs from the textbook. Each switch is something that real servers do."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Switches:
    """The default is a server that can do everything and does it by the book."""

    conditional_create: bool = True  # POST + If-None-Exist
    conditional_update: bool = True  # PUT [type]?criteria
    update_create: bool = True  # PUT [type]/[id] makes what is not there
    updates: bool = True  # False: documents cannot be changed
    transactions: bool = True
    patient_searches: tuple[str, ...] = ("identifier", "name", "family", "given", "email", "telecom", "birthdate")
    versioning: bool = True  # False: no ETag, no If-Match
    racy_create: bool = False  # a gap between looking and storing (HAPI #3141, Microsoft #1382)
    stale_status: Literal[409, 412] = 412  # for a stale If-Match; HAPI says 409
    missing_reference_code: str | None = "HAPI-1094"  # how a reference to nobody is refused; 1096: to somebody deleted
    opaque_versions: bool = False  # versionId is no number
    keeps_relations: bool = True  # False: DocumentReference.relatesTo is dropped
    keeps_extensions: bool = True  # False: extensions are dropped
    rewrites_urls: bool = False  # attachment.url comes back signed, on another host (Medplum)
    inline_cap_bytes: int | None = None  # attachment.data beyond it is 413
    has_last_updated: bool = True  # False: _lastUpdated is no search parameter
    honours_elements: bool = True  # False: _elements is ignored, content comes with every hit
    honours_prefer: bool = True  # False: what was written comes back whatever was asked for
    mediated_searches: int | None = None  # writes of documents are answered 202 and show after so many searches
    lagging_index: bool = False  # searches show the version before the last
    binary_as_resource: bool = False  # Binary is given as JSON whatever was asked for (HAPI)
    paging: Literal["base", "type"] = "base"  # where the links to further pages stand
    page: int = 20
