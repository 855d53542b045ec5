"""The entries of CDA sections: walks the clinical statements and reads each as what its template, or else its section, says it is."""

from dataclasses import dataclass, field, replace

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_allergies import read_allergies
from services.normalizer.readers.ccda_codes import wording
from services.normalizer.readers.ccda_context import Context
from services.normalizer.readers.ccda_history import (
    Around,
    own_status,
    read_family,
    read_problem,
    read_procedure,
    read_social,
    read_substance,
    status_code,
)
from services.normalizer.readers.ccda_nutrition import read_nutrition
from services.normalizer.readers.ccda_results import observed, read_results
from shared.canonical.elements import DietaryPreference, HistoryEntry, Result
from shared.formats.cda_tree import STATEMENTS, V3, Element, attribute, child, children, descend, local_name

_TEMPLATES = load_table("ccda_templates")
_KINDS: dict[str, str] = _TEMPLATES["entries"]
_DETAIL_CODES = frozenset(_TEMPLATES["detail_codes"])
_PRIORITY = {kind: at for at, kind in reversed(list(enumerate(_KINDS.values())))}
_STATUSES = load_table("ccda_statuses")
_TAGS = frozenset(V3 + one for one in STATEMENTS)
_NARRATIVE = "narrative"  # of sections whose entries are not read
_MEASURED = ("quantity", "range", "ratio")
_DONE = ("EVN", None)
_MEDICATION_MOODS = ("EVN", "INT", None)  # a prescription in a medication list is an intent


@dataclass(slots=True)
class Findings:
    """What the entries say."""

    history: list[HistoryEntry] = field(default_factory=list)
    diet: list[DietaryPreference] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    seen: set[tuple[object, ...]] = field(default_factory=set)

    def add(self, entry: HistoryEntry | DietaryPreference | None) -> None:
        """Keep a statement once: vendors repeat one problem in several sections."""
        if entry is None:
            return
        code = (entry.code.system, entry.code.code) if entry.code else None
        onset = entry.onset if isinstance(entry, HistoryEntry) else None
        key = (type(entry), entry.kind, code, entry.text, entry.status, onset, entry.negated, entry.criticality)
        if key in self.seen:
            return
        self.seen.add(key)
        if isinstance(entry, HistoryEntry):
            self.history.append(entry)
        else:
            self.diet.append(entry)


def read_entries(section: Element, kind: str | None, where: str, context: Context, findings: Findings) -> None:
    """Add what the entries of one section, which are of this kind, say to `findings`."""
    context.section = section
    around = Around(kind)
    for index, entry in enumerate(children(section, "entry"), 1):
        context.where = f"{where}/entry[{index}]"
        for statement in entry:
            _read_statement(statement, around, context, findings)


def read_loose_statement(root: Element, context: Context, findings: Findings) -> None:
    """The same for a fragment that is a statement without a section around it."""
    context.section, context.where = root, local_name(root)
    _read_statement(root, Around(None), context, findings)


def _kind_of(statement: Element, section_kind: str | None) -> str | None:
    """What the templates say; of several contradicting ones the section's (vendors put allergy templates on problems)."""
    kinds = [kind for one in children(statement, "templateId") if (kind := _KINDS.get(attribute(one, "root") or ""))]
    if section_kind == _NARRATIVE and "nutrition" not in kinds:
        return _NARRATIVE
    if "detail" not in kinds and attribute(child(statement, "code"), "code") in _DETAIL_CODES:
        kinds.append("detail")
    if section_kind == "family" and "detail" not in kinds:
        return "family"  # a relative's problem must not become the patient's
    if section_kind in kinds:
        return section_kind
    if kinds == ["medication"] and section_kind == "immunization":
        return "immunization"  # CCD 1.0 has one template for both
    return min(kinds, key=lambda one: _PRIORITY[one]) if kinds else section_kind


def _is_negated(statement: Element) -> bool:
    return (attribute(statement, "negationInd") or "").lower() in ("true", "1")


def _read_statement(statement: Element, around: Around, context: Context, findings: Findings) -> None:
    if statement.tag not in _TAGS:
        return
    name = local_name(statement)
    relative = descend(statement, "subject", "relatedSubject")
    if relative is not None:
        code = child(relative, "code")
        around = replace(around, relative=wording(code, context) or attribute(code, "code") or around.relative, section_kind="family")
    if _is_negated(statement):
        around = replace(around, is_negated=True)
    kind = _kind_of(statement, around.section_kind)
    if kind == "risk":  # what may happen is no fact
        return
    match name:
        case "organizer":
            _read_organizer(statement, around, context, findings)
        case "act" if kind not in ("procedure", "nutrition"):
            status = own_status(statement, context) or _STATUSES["concern_statuses"].get(status_code(statement) or "")
            if status and status != around.concern_status:
                around = replace(around, concern_status=status)
            _descend(statement, around, context, findings)
        case "encounter":
            _descend(statement, replace(around, section_kind=None), context, findings)
        case "substanceAdministration" | "supply":
            _read_substance(statement, name, kind, around, context, findings)
        case _:
            _read_by_kind(statement, kind, around, context, findings)
        # skip regionOfInterest: nothing of it is in the model; observationMedia is read with the attachments


def _read_substance(statement: Element, name: str, kind: str | None, around: Around, context: Context, findings: Findings) -> None:
    mood = attribute(statement, "moodCode")
    if kind == "immunization":
        if mood in _DONE:
            findings.add(read_substance(statement, around, context, is_immunization=True))
    elif kind == "medication" and mood in _MEDICATION_MOODS and (name != "supply" or child(statement, "product") is not None):
        # a supply beneath a medication dispenses it; alone in the list, with its product, it is the medication
        findings.add(read_substance(statement, around, context, is_immunization=False))
    if name == "substanceAdministration":
        _descend_inside(statement, around, context, findings)


def _inside(around: Around) -> Around:
    """What holds beneath a statement that was read: only statements with a template of their own, not its negation."""
    return replace(around, section_kind=None, is_negated=False, concern_status=None, is_grouped=False)


def _read_by_kind(statement: Element, kind: str | None, around: Around, context: Context, findings: Findings) -> None:
    if kind != "nutrition" and attribute(statement, "moodCode") not in _DONE:
        return  # intended, requested or promised: not a fact
    name = local_name(statement)
    match kind:
        case "allergy" if name == "observation":
            for entry in read_allergies(statement, around, context):
                findings.add(entry)
        case "problem" if name == "observation":
            findings.add(read_problem(statement, around, context))
        case "family" if name == "observation":
            findings.add(read_family(statement, around, context))
            return
        case "social" if name == "observation":
            findings.add(read_social(statement, around, context))
        case "procedure":
            findings.add(read_procedure(statement, around, context))
            if child(statement, "value") is not None:  # what the procedure showed
                findings.results += [one for one in _read_measurements(statement, around, context) if one.value.kind != "none"]
        case "nutrition":
            diets, results = read_nutrition(statement, around, context)
            findings.results += results
            for diet in diets:
                findings.add(diet)
            _descend(statement, around, context, findings)
            return
        case "result" if name == "observation":
            findings.results += _read_measurements(statement, around, context)
            if child(statement, "entryRelationship") is None:
                return
            effective = observed(statement, context) or around.effective
            inside = replace(_inside(around), status=status_code(statement) or around.status, effective=effective)
            _descend(statement, inside, context, findings, parts=replace(inside, section_kind="result"))
            return
        case None if name == "observation" and around.is_grouped:
            # a battery in a section we do not know (laboratory sections of other countries): measurements only
            findings.results += [one for one in _read_measurements(statement, around, context) if one.value.kind in _MEASURED]
        case "detail" | "narrative":
            return
    _descend_inside(statement, around, context, findings)


def _read_measurements(statement: Element, around: Around, context: Context) -> list[Result]:
    if around.is_negated:
        context.warn("result_negated")  # the model has no place for "was not found"; the narrative says it
        return []
    return read_results(statement, around.status, around.effective, around.group, context)


def _descend_inside(statement: Element, around: Around, context: Context, findings: Findings) -> None:
    if child(statement, "entryRelationship") is not None:
        _descend(statement, _inside(around), context, findings)


def _descend(statement: Element, around: Around, context: Context, findings: Findings, *, parts: Around | None = None) -> None:
    """The statements beneath; those that are parts of it (COMP) may be read otherwise."""
    for relationship in children(statement, "entryRelationship"):
        beneath = parts if parts is not None and attribute(relationship, "typeCode") == "COMP" else around
        for inner in relationship:
            _read_statement(inner, beneath, context, findings)


def _read_organizer(organizer: Element, around: Around, context: Context, findings: Findings) -> None:
    code = child(organizer, "code")
    inside = replace(
        around,
        group=attribute(code, "code") or wording(code, context) or around.group,
        effective=observed(organizer, context) or around.effective,
        status=status_code(organizer) or around.status,
        is_grouped=True,
    )
    for component in children(organizer, "component"):
        for inner in component:
            _read_statement(inner, inside, context, findings)
