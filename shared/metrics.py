"""Prometheus metrics of every service, in one place: names, help, units; labels have few and known values."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry(auto_describe=True)

OUTCOMES = Counter("healthcare_records_outcomes", "Outcomes by stage, status and reason", ["stage", "status", "reason"], registry=REGISTRY)
HANDLED_SECONDS = Histogram(
    "healthcare_records_handled_seconds",
    "Time from first try to outcome of one record",
    ["stage"],
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120),
    registry=REGISTRY,
)
RETRIES = Counter("healthcare_records_retries", "Tries put off because something outside was away", ["stage", "target"], registry=REGISTRY)
QUARANTINED = Counter("healthcare_records_quarantined", "Records set aside", ["stage", "reason"], registry=REGISTRY)
IN_FLIGHT = Gauge("healthcare_records_in_flight", "Records being worked on", ["stage"], registry=REGISTRY)
BUFFERED = Gauge("healthcare_records_buffered_records", "Records polled and not yet done", ["stage"], registry=REGISTRY)
BUFFERED_BYTES = Gauge("healthcare_records_buffered_bytes", "Bytes polled and not yet done", ["stage"], registry=REGISTRY)
LAG = Gauge(
    "healthcare_records_lag_records",
    "Records between the end of a partition and what is committed",
    ["stage", "topic", "partition"],
    registry=REGISTRY,
)
COMMIT_AGE_SECONDS = Gauge(
    "healthcare_records_commit_age_seconds", "Age of the oldest work that is done and not committed", ["stage"], registry=REGISTRY
)
BREAKER_OPEN = Gauge("healthcare_records_breaker_open", "1 while a target is considered down", ["stage", "target"], registry=REGISTRY)
HTTP_REQUESTS = Counter(
    "healthcare_records_http_requests", "Requests served by route and status", ["service", "route", "status"], registry=REGISTRY
)
PLATFORM_REQUESTS = Counter(
    "healthcare_records_platform_requests",
    "Requests to a platform by operation and status",
    ["platform", "operation", "status"],
    registry=REGISTRY,
)
