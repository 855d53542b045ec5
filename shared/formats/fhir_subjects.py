"""Whom FHIR resources are about. Nobody's facts may end in somebody else's record, so each resource has an owner before it is read.

One rule names a patient: the chosen identifier of the Patient resource where it is at hand, as when it comes alone; without the
resource, `subject.identifier`; without that, the reference itself (`Patient/<id>`). The resource id stands among the identifiers each
time, so that the registry can follow a mere reference to the patient whom the resource made known. An id inside a contained
resource means nothing outside of it and names nobody.
"""

from typing import NamedTuple

from shared.canonical.reading import ProviderProfile
from shared.formats.fhir_tree import Resource, Tree, kind_of, objects, reference_of, tail, text_of
from shared.identity import PatientIdentifier, choose_identifier, normalize_system, patient_key

RESOURCE_ID = "resource"  # type of an identifier that is only a resource's id
SUBJECTS = ("subject", "patient", "beneficiary")
IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
_CONDITIONAL = "Patient?identifier="  # a conditional reference of a transaction


class Who(NamedTuple):
    """A patient: the resource where it is at hand, the identifiers, and the chosen key; None when nothing names the person lastingly."""

    resource: Resource | None
    identifiers: list[PatientIdentifier]
    key: str | None


class Subjects:
    """The patients of a tree, each under a name of its own, and whose each resource is."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._names: dict[str, str] = {}  # every way to refer to a patient, to the owner's name
        self._patients: dict[str, Resource] = {}
        self._own: dict[int, str] = {}  # the owner's name, by identity of the Patient resource
        self._logical: dict[str, list[PatientIdentifier]] = {}  # from subject.identifier
        for number, (resource, url) in enumerate(zip(tree.resources, tree.urls, strict=True)):
            if kind_of(resource) == "Patient":
                self._introduce(resource, url, number)
        self._owners = [self._owner(one) for one in tree.resources]
        self.found = list(dict.fromkeys(one for one in self._owners if one is not None))

    def owner(self, number: int) -> str | None:
        """Whose the resource of that number is; None when it names nobody."""
        return self._owners[number]

    def principal(self) -> str | None:
        """Whom it is about: the subject of a document bundle, else the only patient there is."""
        if self._tree.is_document:
            kinds = map(kind_of, self._tree.resources)
            named = next((owner for kind, owner in zip(kinds, self._owners, strict=True) if kind == "Composition"), None)
            if named is not None:
                return named
        return self.found[0] if len(self.found) == 1 else None

    def who(self, owner: str, provider: ProviderProfile) -> Who | None:
        """What is known of the patient of that name; None when there is nothing."""
        resource = self._patients.get(owner)
        logical = self._logical.get(owner, [])
        if resource is not None:
            own, named = business_identifiers(resource), None if owner.startswith("#") else text_of(resource.get("id"))
        else:
            own, named = logical, tail(owner).removeprefix("Patient/") if tail(owner).startswith("Patient/") else None
        by_id = [PatientIdentifier("Patient", named, RESOURCE_ID)] if named else []
        chosen = choose_identifier(own, provider.authorities) or choose_identifier([*logical, *by_id])
        if chosen is None and resource is None:
            return None
        identifiers = list(dict.fromkeys([*own, *logical, *by_id]))
        return Who(resource, identifiers, patient_key(provider.provider_id, chosen) if chosen else None)

    def _introduce(self, patient: Resource, url: str | None, number: int) -> None:
        own = text_of(patient.get("id"))
        owner = f"Patient/{own}" if own else url or f"entry|{number}"
        if owner in self._patients and url and self._names.get(url) != owner:
            owner = url  # the same id on another server
        self._patients.setdefault(owner, patient)
        self._own[id(patient)] = owner
        names = [url, tail(url)] if url else []
        names += [f"Patient/{own}", f"urn:uuid:{own}"] if own else []
        for name in (*names, *map(_logical_name, business_identifiers(patient))):
            self._names.setdefault(name, owner)

    def _owner(self, resource: Resource) -> str | None:
        if kind_of(resource) == "Patient":
            return self._own[id(resource)]
        subject = subject_of(resource)
        if subject is None:
            return None
        reference = reference_of(subject)
        said = read_identifier(subject.get("identifier"))
        owner = self._refers_to(reference, resource) if reference else None
        if owner is None and said is not None and (reference is None or reference.startswith("#")):
            owner = self._names.setdefault(_logical_name(said), _logical_name(said))
        if owner is not None and said is not None:
            self._names.setdefault(_logical_name(said), owner)
            known = self._logical.setdefault(owner, [])
            if said not in known:
                known.append(said)
        return owner

    def _refers_to(self, reference: str, holder: Resource) -> str | None:
        if reference.startswith("#"):
            contained = self._tree.named(reference, holder)
            return self._contained(contained) if contained is not None and kind_of(contained) == "Patient" else None
        if (known := self._names.get(reference) or self._names.get(tail(reference))) is not None:
            return known
        if reference.startswith(_CONDITIONAL):
            system, _, value = reference.removeprefix(_CONDITIONAL).rpartition("|")
            said = PatientIdentifier(system or None, value)
            owner = self._names.setdefault(_logical_name(said), _logical_name(said))
            self._logical.setdefault(owner, [said])
            return owner
        if self._tree.named(reference, holder) is not None:
            return None  # a group, a device, a place
        short = tail(reference)
        return short if short.startswith("Patient/") else reference if reference.startswith("urn:") else None

    def _contained(self, patient: Resource) -> str:
        identifiers = business_identifiers(patient)
        for one in identifiers:
            if (known := self._names.get(_logical_name(one))) is not None:
                return known
        owner = f"#{_logical_name(identifiers[0])}" if identifiers else f"#{id(patient)}"
        self._patients[owner] = patient
        for one in identifiers:
            self._names[_logical_name(one)] = owner
        return owner


def subject_of(resource: Resource) -> Resource | None:
    """The Reference to whom a resource is about."""
    for name in SUBJECTS:
        if found := objects(resource.get(name)):
            return found[0]
    return None


def business_identifiers(patient: Resource) -> list[PatientIdentifier]:
    """The identifiers of a Patient, those out of use last."""
    found = objects(patient.get("identifier"))
    ranked = sorted(found, key=lambda one: one.get("use") == "old") if len(found) > 1 else found
    return [said for one in ranked if (said := read_identifier(one))]


def identifier_type(identifier: Resource) -> str | None:
    """The code of HL7 table 0203, else the first code."""
    kind = identifier.get("type")
    codings = objects(kind.get("coding")) if isinstance(kind, dict) else []
    standard = [one for one in codings if one.get("system") == IDENTIFIER_TYPES]
    return next((code for one in (*standard, *codings) if (code := text_of(one.get("code")))), None)


def read_identifier(value: object) -> PatientIdentifier | None:
    """An Identifier with a value."""
    if not isinstance(value, dict) or not (number := text_of(value.get("value"))):
        return None
    return PatientIdentifier(text_of(value.get("system")), number, identifier_type(value))


def _logical_name(identifier: PatientIdentifier) -> str:
    return f"identifier|{normalize_system(identifier.system)}|{identifier.value}"


def references_in(resource: Resource) -> set[str]:
    """Every literal reference and url in a resource."""
    found: set[str] = set()
    waiting: list[object] = [resource]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found.update(text for name in ("reference", "url") if (text := text_of(one.get(name))) and not text.startswith("#"))
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return found
