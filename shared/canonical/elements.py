"""What patients and documents are made of: plain dataclasses, quick to build and to encode. Absent is None, never an empty string."""

from dataclasses import dataclass, field
from typing import Literal

HistoryKind = Literal["condition", "medication", "procedure", "immunization", "allergy", "family", "social"]
DietKind = Literal["allergy", "intolerance", "diet", "exclusion", "preference"]
ResultStatus = Literal["final", "preliminary", "corrected", "cancelled", "unknown"]
ValueKind = Literal["quantity", "text", "coded", "range", "ratio", "datetime", "time", "attachment", "none"]


@dataclass(slots=True)
class Coding:
    """A code with its system; `translations` are other codings of the same thing."""

    system: str | None = None
    code: str | None = None
    display: str | None = None
    translations: "list[Coding]" = field(default_factory=list)


@dataclass(slots=True)
class Identifier:
    """A patient's identifier: `type` as in HL7 table 0203 (MR, PI, SS …)."""

    system: str | None
    value: str
    type: str | None = None


@dataclass(slots=True)
class HumanName:
    """The name in use."""

    family: str | None = None
    given: list[str] = field(default_factory=list)
    prefix: list[str] = field(default_factory=list)
    suffix: list[str] = field(default_factory=list)
    text: str | None = None


@dataclass(slots=True)
class OtherName:
    """A further name: maiden, nickname, alias …"""

    family: str | None = None
    given: list[str] = field(default_factory=list)
    use: str | None = None


@dataclass(slots=True)
class Telecom:
    """A telephone number as written."""

    value: str
    use: str | None = None  # home, work, mobile, fax …


@dataclass(slots=True)
class Address:
    """A postal address as written."""

    lines: list[str] = field(default_factory=list)
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None
    use: str | None = None


@dataclass(slots=True)
class ContactDetails:
    """How the patient is reached."""

    phones: list[Telecom] = field(default_factory=list)
    emails: list[str] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)


@dataclass(slots=True)
class HistoryEntry:
    """One statement of medical history. A negated one says that it is not so."""

    kind: HistoryKind
    code: Coding | None = None
    text: str | None = None
    status: str | None = None  # active, inactive, resolved, refuted, entered-in-error …
    onset: str | None = None  # precision as written
    negated: bool = False
    category: str | None = None  # food, medication, environment, biologic
    criticality: str | None = None  # high, low
    source_document_id: str | None = None  # where it came from


@dataclass(slots=True)
class DietaryPreference:
    """One dietary fact: allergy or intolerance to food, diet order, exclusion, preference."""

    kind: DietKind
    code: Coding | None = None
    text: str | None = None
    criticality: str | None = None  # high, low
    reactions: list[str] = field(default_factory=list)
    status: str | None = None
    negated: bool = False
    source_document_id: str | None = None


@dataclass(slots=True)
class NutritionChange:
    """Something that changed for a dietician, with the words to say it and the place that says so."""

    rule: str  # which rule saw it
    change: str  # appeared, ended, out_of_range, back_in_range, changed, not_compared
    reason: str
    name: str  # what the rule is about
    why: str  # why it matters
    said: str | None = None  # in the source's words: the allergen, the drug, the value with its unit
    date: str | None = None  # of a result, as written
    source_document_id: str | None = None
    path: str | None = None  # inside the source


@dataclass(slots=True)
class DocumentIdentifier:
    """A document's own number: `kind` is document, filler, placer, accession, set …"""

    system: str | None
    value: str
    kind: str | None = None


@dataclass(slots=True)
class Source:
    """Where a document comes from."""

    kind: Literal["provider", "user"] = "provider"
    organization: str | None = None
    system: str | None = None


@dataclass(slots=True)
class Relation:
    """`replaces` or `appends`, with the other document's id (our id where it can be computed, else its number)."""

    kind: Literal["replaces", "appends"]
    target: str


@dataclass(slots=True)
class Section:
    """A titled passage of a document; `code` is LOINC where the source says one."""

    code: str | None = None
    title: str | None = None
    text: str | None = None


@dataclass(slots=True)
class Value:
    """An observed value. Numbers keep their written digits."""

    kind: ValueKind = "none"
    number: str | None = None
    comparator: str | None = None
    unit: str | None = None  # as sent
    unit_code: Coding | None = None  # UCUM where given
    text: str | None = None
    code: Coding | None = None


@dataclass(slots=True)
class Result:
    """One structured result."""

    code: Coding | None = None
    value: Value = field(default_factory=Value)
    reference_range: str | None = None
    interpretation: str | None = None  # H, L, A …
    status: ResultStatus = "unknown"
    effective: str | None = None
    group: str | None = None  # OBR or panel code


@dataclass(slots=True)
class Attachment:
    """A file inside or beside a document. Its bytes travel beside the model and lie in the content store under their digest."""

    media_type: str
    size: int | None = None
    sha256: str | None = None
    title: str | None = None
    url: str | None = None  # as the source gave it; never fetched


@dataclass(slots=True)
class Content:
    """What a document says: a readable rendering, sections, results, files."""

    text: str | None = None
    sections: list[Section] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
