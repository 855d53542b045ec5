"""Which content of a document is shown: the highest source version; of two contents with one version, the one received later."""

from dataclasses import dataclass, replace
from enum import StrEnum

from shared.identity import sortable_origin, version_kind


class Decision(StrEnum):
    """What an offered version means for what is known."""

    FIRST = "first"  # nothing known before
    NEWER = "newer"  # takes the place of an older one
    REPEATED = "repeated"  # exactly this is known
    REMAPPED = "remapped"  # the same bytes, read by a newer mapping
    OLDER = "older"  # superseded before it arrived
    CONFLICT_SHOWN = "conflict_shown"  # same version, other content, received later: shown and flagged
    CONFLICT_KEPT = "conflict_kept"  # same version, other content, received earlier: kept and flagged
    KIND_CHANGED = "kind_changed"  # versions are counted in another way: no order between them
    OTHER_PATIENT = "other_patient"  # the document was another patient's


@dataclass(frozen=True, slots=True)
class Rival:
    """One content known for the shown version: source bytes, canonical digest, mapping that read it, last receipt."""

    sha256: str
    digest: str
    mapping: int
    origin: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry knows of a document. `rivals` holds every content of the shown version, the shown one included."""

    patient_key: str
    source_version: str
    shown: str  # sha256 of the source bytes shown
    rivals: tuple[Rival, ...]

    @property
    def current(self) -> Rival:
        """The content that is shown."""
        return next(one for one in self.rivals if one.sha256 == self.shown)

    @property
    def platform_version(self) -> str:
        """The version that platforms compare: source version, mapping, and after a conflict the place of receipt."""
        version = f"{self.source_version}:{self.current.mapping:04d}"
        if len(self.rivals) == 1:
            return version
        return f"{version}:{sortable_origin(self.current.origin)[0]:020d}"


@dataclass(frozen=True, slots=True)
class Offered:
    """A version as it arrives."""

    patient_key: str
    source_version: str
    content: Rival


def decide(known: Known | None, offered: Offered) -> tuple[Decision, Known]:
    """The decision, and what is known afterwards: a function of the set of versions offered, not of their order."""
    first = Known(offered.patient_key, offered.source_version, offered.content.sha256, (offered.content,))
    if known is None:
        return Decision.FIRST, first
    if known.patient_key != offered.patient_key:
        return Decision.OTHER_PATIENT, known
    if version_kind(known.source_version) != version_kind(offered.source_version):
        return Decision.KIND_CHANGED, known
    if offered.source_version > known.source_version:
        return Decision.NEWER, first
    if offered.source_version < known.source_version:
        return Decision.OLDER, known
    return _decide_equal(known, offered.content)


def _decide_equal(known: Known, content: Rival) -> tuple[Decision, Known]:
    """The same version again: a repetition, a newer mapping of the same bytes, or a conflict."""
    same = next((one for one in known.rivals if one.sha256 == content.sha256 or one.digest == content.digest), None)
    if same is None:
        rivals = tuple(sorted((*known.rivals, content), key=lambda one: one.sha256))
    else:
        read = content if content.mapping > same.mapping and content.sha256 == same.sha256 else same
        origin = max(same.origin, content.origin, key=sortable_origin)
        merged = replace(same, digest=read.digest, mapping=read.mapping, origin=origin)
        rivals = tuple(merged if one is same else one for one in known.rivals)
    shown = max(rivals, key=lambda one: (sortable_origin(one.origin), one.sha256))
    after = replace(known, shown=shown.sha256, rivals=rivals)
    if same is None:
        return (Decision.CONFLICT_SHOWN if shown is content else Decision.CONFLICT_KEPT), after
    if shown.sha256 != known.shown:
        return Decision.CONFLICT_SHOWN, after
    if after.current.digest != known.current.digest:
        return Decision.REMAPPED, after
    return Decision.REPEATED, after
