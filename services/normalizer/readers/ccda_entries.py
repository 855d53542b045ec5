"""The entries of CDA sections: walks the clinical statements and reads each as what its template, or else its section, says it is."""

from dataclasses import dataclass, field, replace

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_allergies import read_allergies
from services.normalizer.readers.ccda_history import (
    Around,
    read_family,
    read_nutrition,
    read_problem,
    read_procedure,
    read_social,
    read_substance,
    status_code,
)
from services.normalizer.readers.ccda_results import read_results
from services.normalizer.readers.ccda_values import Context, wording
from shared.canonical.elements import DietaryPreference, HistoryEntry, Result
from shared.formats.cda_tree import Element, attribute, child, children, descend, local_name

_KINDS: dict[str, str] = load_table("ccda_templates")["entries"]
_PRIORITY = {kind: at for at, kind in reversed(list(enumerate(_KINDS.values())))}
_SECTIONS: dict[str, str] = load_table("ccda_sections")["kinds"]
_STATUSES = load_table("ccda_statuses")
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


def read_entries(section: Element, code: str | None, where: str, context: Context, findings: Findings) -> None:
    """Add what the entries of one section say to `findings`."""
    context.section = section
    around = Around(_SECTIONS.get(code or ""))
    for index, entry in enumerate(children(section, "entry"), 1):
        context.where = f"{where}/entry[{index}]"
        for statement in entry:
            _read_statement(statement, around, context, findings)


def read_loose_statement(root: Element, context: Context, findings: Findings) -> None:
    """The same for a fragment that is a statement without a section around it."""
    context.section, context.where = root, local_name(root)
    _read_statement(root, Around(None), context, findings)


def _template_kind(statement: Element, section_kind: str | None) -> str | None:
    """What the templates say; of several contradicting ones the section's (vendors put allergy templates on problems)."""
    kinds = [kind for one in children(statement, "templateId") if (kind := _KINDS.get(attribute(one, "root") or ""))]
    if section_kind == _NARRATIVE and "nutrition" not in kinds:
        return _NARRATIVE
    if section_kind in kinds:
        return section_kind
    return min(kinds, key=lambda one: _PRIORITY[one]) if kinds else None


def _is_negated(statement: Element) -> bool:
    return (attribute(statement, "negationInd") or "").lower() in ("true", "1")


def _read_statement(statement: Element, around: Around, context: Context, findings: Findings) -> None:
    name = local_name(statement)
    kind = _template_kind(statement, around.section_kind)
    if _is_negated(statement):
        around = replace(around, is_negated=True)
    match name:
        case "organizer":
            _read_organizer(statement, around, context, findings)
        case "act" if kind not in ("procedure", "nutrition") and not (around.section_kind in ("procedure", "nutrition") and not kind):
            status = _STATUSES["concern_statuses"].get(status_code(statement) or "")
            _descend(statement, replace(around, concern_status=status or around.concern_status), context, findings)
        case "encounter":
            _descend(statement, replace(around, section_kind=None), context, findings)
        case "substanceAdministration":
            read_as = kind or around.section_kind
            if read_as in ("medication", "immunization") and attribute(statement, "moodCode") in _MEDICATION_MOODS:
                findings.add(read_substance(statement, around, context, is_immunization=read_as == "immunization"))
        case "observation" | "act" | "procedure":
            _read_by_kind(statement, kind or around.section_kind, around, context, findings)
        # skip supply, regionOfInterest: nothing of theirs is in the model; observationMedia is read with the attachments


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
        case "social" if name == "observation":
            findings.add(read_social(statement, around, context))
        case "procedure":
            findings.add(read_procedure(statement, around, context))
        case "nutrition":
            diets, results = read_nutrition(statement, around, context)
            findings.results += results
            for diet in diets:
                findings.add(diet)
            _descend(statement, around, context, findings)
        case "result" if name == "observation":
            findings.results += _read_measurements(statement, around, context)
        case None if name == "observation" and around.is_grouped:
            # a battery in a section we do not know (laboratory sections of other countries): measurements only
            findings.results += [one for one in _read_measurements(statement, around, context) if one.value.kind in _MEASURED]


def _read_measurements(statement: Element, around: Around, context: Context) -> list[Result]:
    if around.is_negated:
        context.warn("result_negated")  # the model has no place for "was not found"; the narrative says it
        return []
    return read_results(statement, around.status, around.effective, around.group, context)


def _descend(statement: Element, around: Around, context: Context, findings: Findings) -> None:
    for relationship in children(statement, "entryRelationship"):
        for inner in relationship:
            if str(inner.tag).startswith("{"):
                _read_statement(inner, around, context, findings)


def _read_organizer(organizer: Element, around: Around, context: Context, findings: Findings) -> None:
    code = child(organizer, "code")
    relative = descend(organizer, "subject", "relatedSubject", "code")
    inside = replace(
        around,
        group=attribute(code, "code") or wording(code, context) or around.group,
        effective=context.time(child(organizer, "effectiveTime")) or around.effective,
        status=status_code(organizer) or around.status,
        relative=(wording(relative, context) or attribute(relative, "code")) if relative is not None else around.relative,
        section_kind="family" if relative is not None else around.section_kind,
        is_grouped=True,
    )
    for component in children(organizer, "component"):
        for inner in component:
            _read_statement(inner, inside, context, findings)
