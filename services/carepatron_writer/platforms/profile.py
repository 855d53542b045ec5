"""What is known of a platform, as data: `profile.toml` in its folder, read at start into a frozen value.

The client's behaviour, the sandbox's behaviour and the contract tests come from this one file. Every claim says how it is known.
"""

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.carepatron_writer.platforms.port import Capabilities
from shared.errors import Misconfigured
from shared.outcomes import Reason

LONGEST_TIMEOUT_SECONDS = 20.0  # below the session timeout of the consumer group: a paused writer must not send late
FORBIDDEN = frozenset({"share", "merge", "delete"})  # never done by us, whatever a profile says


class Effect(StrEnum):
    """What a call may do out there."""

    READ = "read"  # nothing changes
    WRITE_PATIENT = "write_patient"  # a client is made or changed
    WRITE_DOCUMENT = "write_document"  # a document is made, or gets a version
    WITHDRAW = "withdraw"  # a document is taken back and stays on record
    EMAIL_CLIENT = "email_client"  # the platform may write to the patient
    SHARE = "share"  # the patient, or somebody outside the clinic, may see something
    MERGE = "merge"  # two clients become one, for good
    DELETE = "delete"  # something is gone


class Evidence(StrEnum):
    """How a claim is known."""

    PUBLISHED = "published"  # by the vendor
    REPORTED = "reported"  # by third parties
    SEEN = "seen"  # by us, on a running server
    MODELLED = "modelled"  # by us, after comparable platforms


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Window(_Table):
    """At most so many requests in so much time. Several windows hold at once."""

    name: str
    scope: Literal["key", "clinic", "endpoint"] = "key"  # endpoint: each of `operations` is counted by itself
    kind: Literal["rolling", "calendar"] = "rolling"  # calendar: the count begins anew with each minute, hour or day of UTC
    requests: Annotated[int, Field(gt=0)]
    seconds: Annotated[float, Field(gt=0, le=86_400)]
    operations: tuple[str, ...] = ()  # none: all
    evidence: Evidence


class Requests(_Table):
    """How we ask."""

    in_flight: Annotated[int, Field(gt=0)]
    timeout_seconds: Annotated[float, Field(gt=0, le=LONGEST_TIMEOUT_SECONDS)]  # of one request with its answer
    max_answer_bytes: Annotated[int, Field(gt=0)]
    accept: str = "application/json"
    live_reserve: Annotated[float, Field(ge=0, le=0.5)] = 0.1  # part of each window that replays leave to live documents


class Retry(_Table):
    """How a platform says "later"."""

    statuses: tuple[int, ...] = (429,)
    codes: tuple[str, ...] = ()  # of errors, where the status does not say it
    headers: tuple[str, ...] = ("Retry-After",)  # the first that makes sense counts
    forms: tuple[Literal["seconds", "http_date", "unix_seconds", "milliseconds"], ...] = ("seconds", "http_date", "unix_seconds")
    default_seconds: Annotated[float, Field(gt=0)]  # when it does not say how long
    cap_seconds: Annotated[float, Field(gt=0)]  # no wish is longer than this
    unauthorized_means_throttle: bool = False  # a 401 with a key that worked a moment ago is a "later"


class Token(_Table):
    """What opens the account."""

    kind: Literal["api_key", "basic", "bearer", "smart_backend", "none"]
    header: str = "Authorization"
    life_seconds: Annotated[float, Field(ge=0)] = 0  # 0: until it is changed
    renew_before_seconds: Annotated[float, Field(ge=0)] = 30


class Idempotency(_Table):
    """How a platform knows a repeated request."""

    header: str
    form: Literal["structured_string", "plain"] = "structured_string"
    hours: float
    operations: tuple[str, ...]


class Content(_Table):
    """What a platform takes, and whether it can be changed."""

    max_bytes: Annotated[int, Field(gt=0)]
    media_types: tuple[str, ...]
    change: Literal["in_place", "new_document", "never"]
    upload: tuple[str, ...]  # the operations of one upload, in order
    rendering: Literal["pdf", "text"] = "text"  # what structured documents become


class Operation(_Table):
    """One call: where, and what it may do. The firewall lets nothing else out."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    path: str  # below the account's root; values in braces
    effects: tuple[Effect, ...]
    evidence: Evidence
    success: tuple[int, ...] = (200, 201)
    answers: Literal["json", "bytes", "nothing"] = "json"
    max_answer_bytes: Annotated[int, Field(gt=0)] | None = None  # where it may be larger than other answers
    note: str = ""

    @property
    def is_write(self) -> bool:
        """Whether an answer that never comes leaves something unknown."""
        return self.effects != (Effect.READ,)


class Rule(_Table):
    """What an error means: `stale`, `conflict`, `again`, `unknown`, `unsent`, `down`, `later`, `parked REASON`, `rejected REASON`."""

    status: int
    code: str | None = None
    meaning: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        word, _, reason = self.meaning.partition(" ")
        if word in ("parked", "rejected"):
            Reason(reason)
        elif self.meaning not in ("stale", "conflict", "again", "unknown", "unsent", "down", "later"):
            raise ValueError("no such meaning")
        return self


class Errors(_Table):
    """Where an error says what it is, and what that means; HTTP's own meanings hold where no rule does."""

    envelope: Literal["problem_json", "operation_outcome", "graphql", "plain"]
    rules: tuple[Rule, ...] = ()


class Features(_Table):
    """What else an account can do."""

    write_documents: bool
    upsert_by_reference: bool
    webhooks: bool = False
    export_contacts: bool = False


class Profile(_Table):
    """All that the writer knows of one platform."""

    name: str
    title: str
    evidence: str  # of its document write
    requests: Requests
    windows: tuple[Window, ...] = ()
    retry: Retry
    token: Token
    idempotency: Idempotency | None = None
    content: Content
    operations: Mapping[str, Operation]
    allowed_effects: frozenset[Effect]
    errors: Errors
    features: Features
    claims: Mapping[str, str] = {}  # what else a reader should know, each with its evidence and source

    @model_validator(mode="after")
    def _check(self) -> Self:
        never = sorted(self.allowed_effects & FORBIDDEN)
        if never:
            raise ValueError(f"allowed_effects: {', '.join(never)} is never done by us")
        named = {*self.content.upload, *(one for window in self.windows for one in window.operations)}
        named |= set(self.idempotency.operations) if self.idempotency else set()
        unknown = sorted(named - set(self.operations))
        if unknown:
            raise ValueError(f"operations: {', '.join(unknown)} is named but not described")
        return self

    @property
    def capabilities(self) -> Capabilities:
        """What an account can do, for people and for the writer."""
        effects = {effect for one in self.operations.values() for effect in one.effects if effect in self.allowed_effects}
        return Capabilities(
            write_documents=self.features.write_documents,
            upsert_by_reference=self.features.upsert_by_reference,
            update_content=self.content.change == "in_place",
            withdraw=Effect.WITHDRAW in effects,
            share=False,
            webhooks=self.features.webhooks,
            export_contacts=self.features.export_contacts,
            max_bytes=self.content.max_bytes,
            media_types=self.content.media_types,
            rendering=self.content.rendering,
            evidence=self.evidence,
        )


def load_profile(package: str, file: str = "profile.toml") -> Profile:
    """The profile of a platform's package. Raises Misconfigured when it is incomplete or asks for what is never done."""
    try:
        return Profile.model_validate(tomllib.loads(files(package).joinpath(file).read_text("utf-8")))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(one) for one in first["loc"]) or "$"
        raise Misconfigured(f"{package}/{file}: {place}: {first['msg']}") from None
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"{package}/{file}: {type(error).__name__}: the profile cannot be read") from error
