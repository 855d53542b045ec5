"""Logs: structlog with an allow-list of keys. What is not on the list does not reach the line; text from outside never does."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# ids, counts, sizes, codes, paths, times: nothing that a patient or a document says
ALLOWED_KEYS = frozenset(
    """
    action address attempt attempts buffered bytes clinic_id committed correlation_id count counts defect destination_id document_id
    documents duplicates duration_ms epoch event event_id exc_place exc_type exit_code expected_version format found_version group
    host http_status in_flight items key_hash lag level mapping_version method module offset offsets outcome_id part partition
    passed_on path_template patient_key patients pause_seconds pid platform port profile provider_id quarantined reason received
    records replay_id reset_to retries route rows rule schema_version seconds service settings_changed sha256 signal since size stage
    state status target timestamp topic until url_scheme version warning_count warnings where why
    """.split()  # noqa: SIM905  # a word list reads better than quotes
)
MAX_VALUE = 200
_PRINTABLE = re.compile(r"[^\x20-\x7e]")


def allow_listed(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop keys off the list and say how many; keep values short and in plain characters (no forged lines, no escapes)."""
    kept: dict[str, Any] = {}
    dropped = 0
    for key, value in line.items():
        if key not in ALLOWED_KEYS:
            dropped += 1
        elif isinstance(value, (int, float, bool)) or value is None:
            kept[key] = value
        elif isinstance(value, (list, tuple, dict)):
            kept[key] = _PRINTABLE.sub("?", str(value))[:MAX_VALUE]
        else:
            kept[key] = _PRINTABLE.sub("?", str(value))[:MAX_VALUE]
    if dropped:
        kept["count_dropped_keys"] = dropped
    return kept


def exception_facts(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception becomes its type and place: messages of parsers quote their input, local values hold content."""
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        line["exc_type"] = type(error).__name__
        line["exc_place"] = place_of(error)
    return line


def place_of(error: BaseException) -> str:
    """`module:line` of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def defect_of(error: BaseException) -> str:
    """How a defect is named in outcomes: `KeyError at services.normalizer.core:41`."""
    return f"{type(error).__name__} at {place_of(error)}"


class _OwnRecords(logging.Filter):
    """Library log records: their level, logger and call site pass, their text does not (it may quote what they handled)."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = f"library_{record.levelname.lower()}"
        record.args = ()
        error = record.exc_info[1] if record.exc_info else None
        record.exc_info = None
        record.exc_text = None
        record.stack_info = None
        record.place = f"{record.module}:{record.lineno}"
        record.exc_type = type(error).__name__ if error else None
        return True


def configure_logs(service: str, level: str = "info", form: str = "json") -> None:
    """Set up structlog and fold the libraries' loggers in. Call once, first thing in a process."""
    renderer: Any = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            exception_facts,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            allow_listed,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_OwnRecords())
    handler.setFormatter(
        logging.Formatter(
            '{"event": "%(message)s", "module": "%(name)s", "exc_place": "%(place)s", "exc_type": "%(exc_type)s", '
            '"level": "%(levelname)s", "timestamp": "%(asctime)s"}'
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def get_logger(name: str) -> Any:
    """A logger for one module."""
    return structlog.get_logger(module=name)
