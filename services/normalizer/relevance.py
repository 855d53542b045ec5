"""Relevance: which documents a clinic wants, as rules in a table. Pure; the first rule that matches decides."""

import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator

from services.normalizer.lens.rules import RULES as LENS_RULES
from services.normalizer.times import sortable_time
from shared.canonical.models import DocumentType, HealthcareDocument
from shared.errors import Misconfigured

DAY_SECONDS = 86_400
ANY = "*"


class Rule(BaseModel):
    """One line of the table; every condition that is given must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str  # stands in the log
    decision: Literal["take", "skip"]
    clinics: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    types: tuple[DocumentType, ...] = ()
    statuses: tuple[str, ...] = ()
    older_than_days: int | None = None
    nutrition: tuple[str, ...] = ()  # rules of the diet lens

    @field_validator("nutrition")
    @classmethod
    def _name_rules(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        """Only rules that there are, or `*` for any."""
        if unknown := [one for one in ids if one != ANY and one not in LENS_RULES]:
            raise ValueError(f"no rule of the diet lens: {', '.join(unknown)}")
        return ids


RULES = TypeAdapter(tuple[Rule, ...])


@dataclass(frozen=True, slots=True)
class Relevance:
    """The rules in force."""

    rules: Sequence[Rule]

    def skipped_by(
        self, document: HealthcareDocument, *, clinic_id: str, provider_id: str, received_at: datetime, notable: Collection[str] = ()
    ) -> str | None:
        """The name of the rule that leaves this document out; None when it is wanted.

        `notable` are the rules of the diet lens that the document by itself has something for: whether that is news depends on what came
        before it, and relevance must not.
        """
        for rule in self.rules:
            if _matches(rule, document, clinic_id, provider_id, received_at, notable):
                return rule.name if rule.decision == "skip" else None
        return None


def _matches(
    rule: Rule, document: HealthcareDocument, clinic_id: str, provider_id: str, received_at: datetime, notable: Collection[str]
) -> bool:
    """Whether all conditions of a rule hold."""
    if rule.clinics and clinic_id not in rule.clinics:
        return False
    if rule.providers and provider_id not in rule.providers:
        return False
    if rule.types and document.type not in rule.types:
        return False
    if rule.statuses and document.status not in rule.statuses:
        return False
    if rule.nutrition and not (notable if ANY in rule.nutrition else set(rule.nutrition) & set(notable)):
        return False
    return rule.older_than_days is None or _is_older(document.date, received_at, rule.older_than_days)


def _is_older(date: str | None, received_at: datetime, days: int) -> bool:
    """Whether a date lies more than so many days before a moment; an undated document is never older."""
    text = sortable_time(date, "UTC")
    if text.startswith("00000000"):
        return False
    dated = datetime.strptime(text, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    return (received_at - dated).total_seconds() > days * DAY_SECONDS


def load_relevance(file: Path | None = None) -> Relevance:
    """The rules of a file, or those that come with the service. Raises Misconfigured with the place of the mistake."""
    name = str(file) if file else "relevance.toml"
    try:
        text = file.read_text("utf-8") if file else files("services.normalizer").joinpath("relevance.toml").read_text("utf-8")
        return Relevance(RULES.validate_python(tomllib.loads(text).get("rules", [])))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"{name}: {type(error).__name__}: cannot be read as TOML") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise Misconfigured(f"{name}: rule {'.'.join(str(one) for one in first['loc'])}: {first['msg']}") from error
