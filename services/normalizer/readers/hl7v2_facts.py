"""History and diet that a message states: AL1, IAM, DG1, PRB, PR1, RXA, RXE, RXO, RXD, RXG, ODS, PV1-38. Free text asserts nothing."""

from collections.abc import Iterator
from itertools import pairwise

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.denials import ANY, denied_allergy, denies, is_unknown_allergen, knows_nothing
from services.normalizer.readers.hl7v2_codes import CODES, read_code, system_of
from services.normalizer.readers.hl7v2_times import read_time
from shared.canonical.elements import Coding, DietaryPreference, DietKind, HistoryEntry
from shared.canonical.reading import Warning
from shared.formats.hl7v2 import Field, Message, Segment

FOODS = frozenset(load_table("ccda_allergies")["foods"])  # SNOMED CT: known to be food whatever the type says
CVX = "http://hl7.org/fhir/sid/cvx"
VACCINATIONS = frozenset({"VXU", "VXR", "VXX"})
NOT_GIVEN = frozenset({"RE", "NA"})  # table 0322: refused, not administered
NO_VACCINE = "998"  # CVX: no vaccine administered
DRUGS = (("RXE", 2), ("RXO", 1), ("RXD", 2), ("RXG", 4))  # what is ordered, dispensed, given
CODED_ORDER = dict(DRUGS)


def read_facts(message: Message, warnings: list[Warning]) -> tuple[list[HistoryEntry], list[DietaryPreference]]:
    """History and diet as coded statements."""
    history: list[HistoryEntry] = []
    diet: list[DietaryPreference] = []
    for segment in (*message.all("AL1"), *message.all("IAM")):
        for allergy, preference in _allergies(segment, warnings):
            history.append(allergy)
            if preference:
                diet.append(preference)
    for segment, entry in _stated(message, warnings):
        code, words = entry.code, (entry.text, entry.code.display if entry.code else None)
        if knows_nothing(code if code and code.code else None, *words):
            warnings.append(Warning("no_information", f"{segment.name}[{segment.number}]"))
            continue
        entry.negated = entry.negated or denies(code, *words)
        history.append(entry)
    if any(message.all(name) for name, _ in DRUGS) or message.all("ODS"):
        for segment, status in _ordered(message):
            if segment.name == "ODS":
                diet += _diet(segment, status)
            elif (drug := _drug(segment, status)) and not _is_known(drug, history):
                history.append(drug)
    for visit in message.all("PV1"):
        if code := read_code(visit.field(38)):  # diet type, table 0114
            diet.append(DietaryPreference("diet", code, None, status="active"))
    return history, diet


def _stated(message: Message, warnings: list[Warning]) -> Iterator[tuple[Segment, HistoryEntry]]:
    """Diagnoses, problems, procedures, vaccines and drugs given, each with its segment."""
    readers = (("DG1", _diagnosis), ("PRB", _problem), ("PR1", _procedure))
    for name, read in readers:
        for one in message.all(name):
            if made := read(one):
                yield one, made
    for one in message.all("RXA"):
        if made := _administered(message, one, warnings):
            yield one, made


def _allergies(segment: Segment, warnings: list[Warning]) -> Iterator[tuple[HistoryEntry, DietaryPreference | None]]:
    """AL1 and IAM: type 2, code 3, severity 4, reactions 5; IAM adds kind 9 and status 17."""
    category = CODES["allergen_category"].get((segment.text(2) or "").upper())
    criticality = CODES["severity"].get((segment.text(4) or "").upper())
    reactions = [one for one in (part.text(2) or part.text(1) for part in segment.repetitions(5)) if one]
    status, onset = "active", read_time(segment.text(6))
    kind: DietKind = "allergy"
    if segment.name == "IAM":
        status, onset = _iam_status(segment), read_time(segment.text(11))
        kind = "intolerance" if (segment.text(9) or "").upper() == "IN" else "allergy"
    codes = [code for part in segment.repetitions(3) if (code := read_code(part))]
    if not codes:
        warnings.append(Warning("allergy_without_substance", f"{segment.name}[{segment.number}]-3"))
    for code in codes:
        if is_unknown_allergen(code, code.display or code.code):
            warnings.append(Warning("no_information", f"{segment.name}[{segment.number}]-3"))
            continue
        none_of = denied_allergy([code])
        text = code.display if code.code is None else None
        # a type that says nothing: the few codes that are known to be food
        known = "food" if any(one.code in FOODS for one in (code, *code.translations)) else None
        concerns = category or known or (none_of if none_of != ANY else None)
        if none_of not in (None, ANY):
            concerns = none_of
        # "no known allergies" of any kind says so of food too
        is_of_diet = concerns == "food" or (none_of == ANY and concerns is None)
        yield (
            HistoryEntry("allergy", code, text, status, onset, none_of is not None, concerns, criticality),
            DietaryPreference(kind, code, text, criticality, reactions, status, none_of is not None) if is_of_diet else None,
        )


def _iam_status(segment: Segment) -> str:
    """IAM-17, table 0438; IAM-6 D takes an allergy off the list (table 0323)."""
    status = str(CODES["allergy_status"].get((segment.text(17) or "").upper(), "active"))
    return "inactive" if status == "active" and (segment.text(6) or "").upper() == "D" else status


def _diagnosis(segment: Segment) -> HistoryEntry | None:
    """DG1: method 2, code 3, text 4, time 5; action code 21 D takes it back (table 0206)."""
    code, text = _with_system(read_code(segment.field(3)), segment.text(2)), segment.text(4)
    status = "entered-in-error" if (segment.text(21) or "").upper() == "D" else "active"
    return HistoryEntry("condition", code, text, status, read_time(segment.text(5))) if code or text else None


def _problem(segment: Segment) -> HistoryEntry | None:
    """PRB: action 1 (table 0287), problem 3, resolved 9, confirmation 13, life cycle 14, onset 16."""
    code = read_code(segment.field(3))
    if code is None:
        return None
    said = " ".join(one.lower() for one in (segment.text(14, 1), segment.text(14, 2)) if one)
    action = (segment.text(1) or "").upper()
    status = "active"
    if action == "DE":  # delete: it should never have been there
        status = "entered-in-error"
    elif segment.text(9) or "resolved" in said:
        status = "resolved"
    elif "inactive" in said:
        status = "inactive"
    onset = read_time(segment.text(16)) or segment.text(17)
    return HistoryEntry("condition", code, None, status, onset)


def _procedure(segment: Segment) -> HistoryEntry | None:
    """PR1: method 2, code 3, text 4, time 5."""
    code, text = _with_system(read_code(segment.field(3)), segment.text(2)), segment.text(4)
    return HistoryEntry("procedure", code, text, "completed", read_time(segment.text(5))) if code or text else None


def _administered(message: Message, segment: Segment, warnings: list[Warning]) -> HistoryEntry | None:
    """RXA: time 3, code 5, completion 20, action 21. A vaccine in a vaccination message or by its code, else a drug."""
    code = read_code(segment.field(5))
    if code is None:
        return None
    if code.code == NO_VACCINE:
        warnings.append(Warning("no_vaccine_administered", f"RXA[{segment.number}]-5"))
        return None
    is_vaccine = message.code in VACCINATIONS or any(one.system == CVX for one in (code, *code.translations))
    completion = (segment.text(20) or "").upper()
    status = "not-done" if completion in NOT_GIVEN else "completed"
    if (segment.text(21) or "").upper() == "D":
        status = "entered-in-error"
    kind = "immunization" if is_vaccine else "medication"
    return HistoryEntry(kind, code, None, status, read_time(segment.text(3)), status == "not-done")  # type: ignore[arg-type]


def _ordered(message: Message) -> Iterator[tuple[Segment, str]]:
    """Drug and diet segments with the status that the ORC before them gives."""
    status = "active"
    for segment in message.segments:
        if segment.name == "ORC":
            control, state = (segment.text(1) or "").upper(), (segment.text(5) or "").upper()
            status = CODES["order_control"].get(control) or CODES["order_status"].get(state) or "active"
        elif segment.name in CODED_ORDER or segment.name == "ODS":
            yield segment, status


def _drug(segment: Segment, status: str) -> HistoryEntry | None:
    """RXE-2, RXO-1, RXD-2 or RXG-4; RXE-1.4 and RXD-3 say since when."""
    code = read_code(segment.field(CODED_ORDER[segment.name]))
    onset = {"RXE": segment.text(1, 4), "RXD": segment.text(3), "RXG": segment.text(3, 4)}.get(segment.name)
    return HistoryEntry("medication", code, None, status, read_time(onset)) if code else None


def _is_known(entry: HistoryEntry, history: list[HistoryEntry]) -> bool:
    """Whether the order's other segments (RXO beside RXE, RXD) said the same drug."""
    return any(one.kind == "medication" and one.code == entry.code and one.status == entry.status for one in history)


def _diet(segment: Segment, status: str) -> Iterator[DietaryPreference]:
    """ODS: D diet and S supplement are orders, P a preference (table 0159); codes 3, text 4."""
    kind: DietKind = "preference" if (segment.text(1) or "").upper() == "P" else "diet"
    text = _joined(segment.repetitions(4))
    for code in [read_code(part) for part in segment.repetitions(3)] or [None]:
        if code or text:
            yield DietaryPreference(kind, code, text, status=status)


def _joined(parts: list[Field]) -> str | None:
    """Repetitions of a text as one; a line that repeats the one before is said once."""
    lines = [text for part in parts if (text := part.text(1))]
    return "\n".join([*lines[:1], *(later for earlier, later in pairwise(lines) if later != earlier)]) or None


def _with_system(code: Coding | None, method: str | None) -> Coding | None:
    """DG1-2 and PR1-2 name the coding system where the code does not (before 2.4)."""
    if code is None or code.system or code.code is None or method is None:
        return code
    return Coding(system_of(method), code.code, code.display, code.translations)
